// How xl makes a domain: what is checked, in which order, and what is said. `xl create`, `xl restore` and a guest's own reboot.
import { existsSync, realpathSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { XlError } from './getopt.mjs';
import { openBy } from './open-files.mjs';
import { sleep, withState } from './store.mjs';
import { addDomain, freeMemory_mib, removeDomain, startDomain } from './world.mjs';
import { hasScript, libxl, requireDevices, runScripts } from './xl-hotplug.mjs';
import { addOwn, dropXl } from './xl-process.mjs';

/** Pages of the recorded kernel, and those that are kept free beside it. */
const KERNEL_PAGES = 0x3200;
const KEPT_PAGES = 0x1000;
const PAGES_PER_MIB = 256;

/** What libxl says at the end of every failed creation. */
export function undone(id, lines, at_the_end = false) {
  const second = at_the_end
    ? libxl(
        'libxl_dom.c:1244:libxl__userdata_path',
        `unable to find domain info for domain ${id}: No such process`,
      )
    : libxl('libxl_domain.c:1179:libxl__destroy_domid', `Domain ${id}:Non-existant domain`);
  return new XlError(
    lines +
      libxl('libxl_domain.c:354:libxl_domain_info', `Domain ${id}:Getting domain info: No such process`) +
      second +
      libxl('libxl_domain.c:1133:domain_destroy_callback', `Domain ${id}:Unable to destroy guest`) +
      libxl('libxl_domain.c:1060:domain_destroy_cb', `Domain ${id}:Destruction of domain failed`),
    3,
  );
}

/** `removed`: what was said when the disks were let go of. */
const noDisks = (id, lines, removed = '') =>
  undone(
    id,
    lines +
      libxl('libxl_create.c:1727:domcreate_launch_dm', `Domain ${id}:unable to add disk devices`) +
      removed,
  );

/**
 * The first checks: name, and that the disks are there; of one with a script that is the script's business. Gives the new domain's
 * id, which is used up even by a failure.
 */
function makeDomain(state, spec) {
  const id = state.next_domid++;
  if (state.domains.some((domain) => domain.name === spec.name)) {
    return undone(
      id,
      libxl(
        'libxl_domain.c:81:libxl__domain_rename',
        `Domain ${id}:Domain with name "${spec.name}" already exists.`,
      ) + libxl('libxl_create.c:1351:initiate_domain_create', `Domain ${id}:cannot make domain: -6`),
    );
  }
  const missing = spec.disks.findIndex((disk) => !disk.script && !existsSync(disk.path));
  if (missing < 0) return id;
  const { vdev, path } = spec.disks[missing];
  return undone(
    id,
    libxl(
      'libxl_device.c:468:libxl__device_disk_set_backend',
      `Disk vdev=${vdev} failed to stat: ${path}: No such file or directory`,
    ) +
      libxl(
        'libxl_create.c:1373:initiate_domain_create',
        `Domain ${id}:Unable to set disk defaults for disk ${missing}`,
      ),
  );
}

/** Kernel, initial RAM disk and memory; restored memory brings its kernel along. */
function checkBuild(state, spec, id, restored) {
  const rebuild = libxl(
    'libxl_create.c:1695:domcreate_rebuild_done',
    `Domain ${id}:cannot (re-)build domain: -3`,
  );
  const panic = (text) => `xc: error: panic: ${text}\n`;
  const files = [
    [spec.kernel, '641:libxl__build_pv: xc_dom_kernel_file'],
    [spec.ramdisk, '661:libxl__build_pv: xc_dom_module_file'],
  ];
  for (const [path, step] of restored ? [] : files) {
    if (!path || existsSync(path)) continue;
    const open = panic(
      `xg_dom_core.c:205: failed to open file '${path}': No such file or directory: Internal error`,
    );
    throw undone(
      id,
      `${open}libxl: error: libxl_dom.c:${step} failed: No such file or directory\n${rebuild}`,
    );
  }
  if (spec.memory_mib > freeMemory_mib(state)) {
    throw undone(
      id,
      panic("xg_dom_boot.c:119: xc_dom_boot_mem_init: can't allocate low memory for domain: Out of memory") +
        libxl('libxl_dom.c:581:libxl__build_dom', 'xc_dom_boot_mem_init failed: Cannot allocate memory') +
        rebuild,
    );
  }
  const pages = spec.memory_mib * PAGES_PER_MIB;
  if (spec.kernel && KERNEL_PAGES > pages - KEPT_PAGES) {
    const sizes = `(0x${KERNEL_PAGES.toString(16)} > 0x${pages.toString(16)} - 0x${KEPT_PAGES.toString(16)} pages)`;
    throw undone(
      id,
      panic(`xg_dom_core.c:536: xc_dom_chk_alloc_pages: segment kernel too large ${sizes}: Out of memory`) +
        libxl('libxl_dom.c:589:libxl__build_dom', 'xc_dom_build_image failed: No such file or directory') +
        rebuild,
    );
  }
}

/** A volume or block device is served by the kernel (`vbd`), an image file by a process (`qdisk`), without files in /sys. */
function attachment(root, state, disk) {
  if (hasScript(disk)) return { ...disk, backend: 'vbd' };
  if (!existsSync(disk.path)) return { ...disk, backend: 'vbd' };
  const path = realpathSync(disk.path);
  const lv = Object.values(state.vgs)
    .flatMap((vg) => vg.lvs)
    .find((each) => join(realpathSync(root), 'dev', `dm-${each.minor}`) === path);
  if (lv) return { ...disk, backend: 'vbd', minor: lv.minor };
  return { ...disk, backend: statSync(path).isBlockDevice() ? 'vbd' : 'qdisk' };
}

/** What Xen's own block script does on `add`. */
function checkDisks(state, disks, id) {
  let said = '';
  for (const disk of disks.filter((each) => each.backend === 'vbd' && !hasScript(each))) {
    const there = existsSync(disk.path);
    const { guest, loop } = there ? openBy(state, disk.path) : {};
    if (there && !guest && !loop) continue;
    const why = guest
      ? 'in a guest domain,\nand so cannot be mounted now.'
      : 'in the privileged domain,\nand so cannot be mounted by a guest.';
    said += libxl(
      'libxl_exec.c:117:libxl_report_child_exitstatus',
      `/etc/xen/scripts/block add [${process.pid}] exited with error status 1`,
    );
    if (!there) continue;
    said += libxl(
      'libxl_device.c:1351:device_hotplug_child_death_cb',
      `script: Device ${realpathSync(disk.path)} is mounted ${why}`,
    );
  }
  if (said !== '') throw noDisks(id, said);
}

function checkBridges(state, spec, id) {
  const nic = spec.nics.find((each) => !state.host.bridges.includes(each.bridge));
  if (!nic) return;
  const script = (step) =>
    libxl(
      'libxl_exec.c:117:libxl_report_child_exitstatus',
      `/etc/xen/scripts/vif-bridge ${step} [${process.pid}] exited with error status 1`,
    ) +
    libxl(
      'libxl_device.c:1351:device_hotplug_child_death_cb',
      `script: Could not find bridge device ${nic.bridge}`,
    );
  const add = libxl('libxl_create.c:1982:domcreate_attach_devices', `Domain ${id}:unable to add vif devices`);
  throw undone(id, script('online') + add + script('offline'), true);
}

const byId = (state, id) => state.domains.find((each) => each.id === id);

function requireThere(domain, id) {
  if (domain && !domain.destroying) return;
  throw undone(
    id,
    libxl('libxl_create.c:1695:domcreate_rebuild_done', `Domain ${id}:cannot (re-)build domain: -3`),
  );
}

/** Takes away what a failed creation has made, and hands its error on. */
async function undo(root, id, error) {
  const found = await withState(root, (state) => [byId(state, id), state.timing.script_ms]);
  const [domain, script_ms] = found;
  if (domain?.disks.some(hasScript) && !error.disks_are_gone)
    await runScripts(root, domain, 'remove', script_ms);
  await withState(root, (state) => {
    const left = byId(state, id);
    if (left) removeDomain(state, left, 'destroyed');
  });
  throw error;
}

async function addScriptedDisks(root, id) {
  const [domain, script_ms] = await withState(root, (state) => {
    const built = byId(state, id);
    requireThere(built, id);
    built.populated = true;
    return [built, state.timing.script_ms];
  });
  const said = await runScripts(root, domain, 'add', script_ms);
  if (said !== '') {
    const removed = await runScripts(root, domain, 'remove', script_ms);
    throw Object.assign(noDisks(id, said, removed), { disks_are_gone: true });
  }
  await withState(root, (state) => {
    const added = byId(state, id);
    requireThere(added, id);
    requireDevices(added);
  });
}

/** A guest that is lost in its reboot: its disks' scripts take longer than xl waits. */
function timedOut(id, disks) {
  const late = ({ script }) =>
    libxl(
      'libxl_aoutils.c:539:async_exec_timeout',
      `killing execution of ${script?.startsWith('/') ? script : '/etc/xen/scripts/block'} add because of timeout`,
    );
  return noDisks(id, disks.map(late).join(''));
}

/**
 * Makes a domain from its spec and lets it run.
 *
 * @param options `paused`; `restored`: its memory comes from a file; `lost`: its disks cannot be added in time;
 *   `onBuilt()`: it has its memory; `onUp(state, domain)`: it runs, in the same moment as far as others see
 * @returns its id
 * @throws XlError with what xl says, exit code 3
 */
export async function raise(root, spec, { paused = false, restored = false, lost = false, onBuilt, onUp }) {
  const [made, name_ms] = await withState(root, (state) => [makeDomain(state, spec), state.timing.name_ms]);
  if (made instanceof XlError) throw made;
  const id = made;
  await sleep(name_ms);
  const build_ms = await withState(root, (state, now) => {
    checkBuild(state, spec, id, restored);
    const disks = spec.disks.map((disk) => attachment(root, state, disk));
    if (!lost) checkDisks(state, disks, id);
    addDomain(state, { ...spec, disks }, id, now);
    return state.timing.build_ms;
  });
  await sleep(build_ms);
  onBuilt?.();
  try {
    if (lost) throw timedOut(id, spec.disks);
    if (spec.disks.some(hasScript)) await addScriptedDisks(root, id);
    await withState(root, (state, now) => {
      const domain = byId(state, id);
      requireThere(domain, id);
      checkBridges(state, spec, id);
      if (restored) domain.idle_from_ms = now;
      startDomain(state, domain, now, paused);
      onUp(state, domain);
    });
  } catch (error) {
    return undo(root, id, error);
  }
  return id;
}

/** Runs a command of xl's as a process that /proc shows. */
export async function asProcess(root, args, work) {
  const pid = await withState(root, (state) => addOwn(root, state, args));
  try {
    return await work();
  } finally {
    await withState(root, (state) => dropXl(root, state, pid));
  }
}
