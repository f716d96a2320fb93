// What dom0's kernel shows of the guests: /proc/net/dev, /sys/bus/xen-backend, /sys/class/net, /sys/block/dm-N.
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { mapperName } from './lvm-volumes.mjs';

const NET_DEV_HEADING = `Inter-|   Receive                                                |  Transmit
 face |bytes    packets errs drop fifo frame compressed multicast|bytes    packets errs drop fifo colls carrier compressed
`;
const NET_STATISTICS =
  `collisions multicast rx_bytes rx_compressed rx_crc_errors rx_dropped rx_errors rx_fifo_errors
rx_frame_errors rx_length_errors rx_missed_errors rx_nohandler rx_over_errors rx_packets tx_aborted_errors tx_bytes
tx_carrier_errors tx_compressed tx_dropped tx_errors tx_fifo_errors tx_heartbeat_errors tx_packets tx_window_errors`
    .trim()
    .split(/\s+/);
const VBD_STATISTICS = ['ds_req', 'f_req', 'oo_req', 'rd_req', 'rd_sect', 'wr_req', 'wr_sect'];

const pad = (value, width) => String(value).padStart(width);

function netDevLine({ ifname, rx_bytes, rx_packets, tx_bytes, tx_packets }) {
  const rx = [pad(rx_bytes, 7), pad(rx_packets, 7), '   0    0    0     0          0         0'];
  const tx = [pad(tx_bytes, 8), pad(tx_packets, 7), '   0    0    0     0       0          0'];
  return `${pad(ifname, 6)}: ${rx.join(' ')} ${tx.join(' ')}\n`;
}

function netDev(state) {
  const still = (ifname) => ({ ifname, rx_bytes: 0, rx_packets: 0, tx_bytes: 0, tx_packets: 0 });
  const nics = state.domains.filter((domain) => domain.phase !== 'building').flatMap((domain) => domain.nics);
  return (
    NET_DEV_HEADING +
    [still('lo'), still('eth0'), ...state.host.bridges.map(still), ...nics].map(netDevLine).join('')
  );
}

function deviceFiles(state) {
  const files = {};
  const links = {};
  const device = (bus, name, entries) => {
    for (const [file, text] of Object.entries(entries)) files[`devices/${name}/${file}`] = `${text}\n`;
    if (bus) links[`bus/xen-backend/devices/${name}`] = `../../../devices/${name}`;
  };
  for (const domain of state.domains.filter((each) => each.phase !== 'building')) {
    const connected = domain.idle_from_ms === null ? 'InitWait' : 'Connected';
    device(true, `console-${domain.id}-0`, {
      devtype: 'console',
      nodename: `backend/console/${domain.id}/0`,
      state: 'Initialising',
    });
    for (const disk of domain.disks.filter((each) => each.backend === 'vbd')) {
      device(true, `vbd-${domain.id}-${disk.vdev_number}`, {
        devtype: 'vbd',
        mode: disk.mode,
        nodename: `backend/vbd/${domain.id}/${disk.vdev_number}`,
        physical_device:
          disk.store?.['physical-device'] ??
          (disk.minor === undefined ? '7:0' : `fd:${disk.minor.toString(16)}`),
        state: connected,
        ...Object.fromEntries(VBD_STATISTICS.map((name) => [`statistics/${name}`, disk[name] ?? 0])),
      });
    }
    domain.nics.forEach((nic, devid) => {
      const name = `vif-${domain.id}-${devid}`;
      device(true, name, {
        devtype: 'vif',
        nodename: `backend/vif/${domain.id}/${devid}`,
        state: connected,
        ...Object.fromEntries(
          NET_STATISTICS.map((each) => [`net/${nic.ifname}/statistics/${each}`, nic[each] ?? 0]),
        ),
      });
      links[`class/net/${nic.ifname}`] = `../../devices/${name}/net/${nic.ifname}`;
    });
  }
  for (const [vg, { uuid, lvs, twin }] of Object.entries(state.vgs)) {
    if (twin) {
      files[`block/${twin.device}/loop/backing_file`] = `${twin.backing_file}\n`;
      files[`block/${twin.device}/dev`] = `7:${twin.device.slice('loop'.length)}\n`;
    }
    for (const lv of lvs.filter((each) => each.active)) {
      const { rd_req, rd_sect, wr_req, wr_sect } = lv.io;
      const names = [vg, mapperName(lv)].map((name) => name.replaceAll('-', '--'));
      files[`block/dm-${lv.minor}/dm/name`] = `${names.join('-')}\n`;
      files[`block/dm-${lv.minor}/dm/uuid`] = `LVM-${`${uuid}${lv.uuid}`.replaceAll('-', '')}\n`;
      files[`block/dm-${lv.minor}/dev`] = `253:${lv.minor}\n`;
      links[`dev/block/253:${lv.minor}`] = `../../block/dm-${lv.minor}`;
      files[`block/dm-${lv.minor}/stat`] =
        `${[rd_req, 0, rd_sect, 0, wr_req, 0, wr_sect, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0].map((n) => pad(n, 8)).join(' ')}\n`;
    }
  }
  return { files, links };
}

function replace(path, text) {
  writeFileSync(`${path}.new`, text);
  renameSync(`${path}.new`, path);
}

/** The machine's own loop devices stand beside the fake ones, so that `loopN/loop/backing_file` can be read. */
function linkLoopDevices(sys) {
  mkdirSync(join(sys, 'block'), { recursive: true });
  for (const name of readdirSync('/sys/block').filter((each) => each.startsWith('loop'))) {
    if (!existsSync(join(sys, 'block', name)))
      symlinkSync(join('/sys/block', name), join(sys, 'block', name));
  }
}

/** Brings the files in step with the domains; writes only what differs. */
export function syncKernelFiles(root, state) {
  const sys = join(root, 'sys');
  const record = join(root, 'state', 'kernel-files.json');
  const wanted = { net_dev: netDev(state), ...deviceFiles(state) };
  const had = existsSync(record)
    ? JSON.parse(readFileSync(record, 'utf8'))
    : { net_dev: '', files: {}, links: {} };
  linkLoopDevices(sys);
  const text = JSON.stringify(wanted);
  if (text === JSON.stringify(had)) return;
  if (wanted.net_dev !== had.net_dev) {
    mkdirSync(join(root, 'proc/net'), { recursive: true });
    replace(join(root, 'proc/net/dev'), wanted.net_dev);
  }
  for (const link of Object.keys(had.links))
    if (!(link in wanted.links)) rmSync(join(sys, link), { force: true });
  const top = (file) => file.split('/').slice(0, 2).join('/');
  const kept = new Set(Object.keys(wanted.files).map(top));
  for (const folder of new Set(Object.keys(had.files).map(top))) {
    if (!kept.has(folder)) rmSync(join(sys, folder), { recursive: true, force: true });
  }
  for (const [file, content] of Object.entries(wanted.files)) {
    if (had.files[file] === content) continue;
    mkdirSync(join(sys, file, '..'), { recursive: true });
    replace(join(sys, file), content);
  }
  for (const [link, target] of Object.entries(wanted.links)) {
    if (link in had.links) continue;
    mkdirSync(join(sys, link, '..'), { recursive: true });
    // Who was killed before it wrote the record has made it already.
    rmSync(join(sys, link), { force: true });
    symlinkSync(target, join(sys, link));
  }
  replace(record, text);
}
