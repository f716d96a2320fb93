// From a configuration's settings to what a domain is made of: disks, interfaces, memory, kernel.
import { randomInt } from 'node:crypto';
import { XlError } from './getopt.mjs';
import { NotKnown } from './store.mjs';
import { parseSyntax } from './xl-syntax.mjs';

const ACTIONS = ['destroy', 'restart', 'rename-restart', 'preserve'];
const FORMATS = ['raw', 'qcow', 'qcow2', 'vhd', 'qed', ''];
const ACCESS = { r: 'r', ro: 'r', w: 'w', rw: 'w', '!': 'w', 'w!': 'w' };
const DISK_KEYS = ['format', 'vdev', 'access', 'backendtype', 'script', 'devtype', 'target'];
const DEFAULT_MEMORY_MIB = 32;

/** xvda is 51712, xvdb 51728, xvda1 51713; hda 768, sda 2048. */
export function vdevNumber(vdev) {
  const [, bus, letter, partition] = /^(xvd|hd|sd)([a-p])([0-9]*)$/.exec(vdev) ?? [];
  if (!bus) throw new NotKnown(`disk ${vdev} is not part of the fake`);
  const index = letter.charCodeAt(0) - 97;
  const part = Number(partition || 0);
  if (bus === 'xvd') return 51712 + index * 16 + part;
  if (bus === 'sd') return 2048 + index * 16 + part;
  return [768, 832, 5632, 5696, 8448, 8512][index] + part;
}

function parseDisk(file, text) {
  const bad = (what, near) => {
    throw new XlError(
      `${file}: config parsing error in disk specification: ${what}: near \`${near}' in \`${text}'\n`,
      1,
    );
  };
  const disk = { format: 'raw', access: 'rw' };
  const old = /^(?:phy|file|tap2?(?::aio)?|aio|raw):/.exec(text);
  const positions = old ? ['target', 'vdev', 'access'] : ['target', 'format', 'vdev', 'access'];
  // A target that is named is all that is left of the line.
  const [, before, target] = /^(.*?)(?:(?<=^|,)\s*target=(.*))?$/.exec(text.slice(old?.[0].length ?? 0));
  if (target !== undefined) disk.target = target.trim();
  before
    .replace(/,$/, '')
    .split(',')
    .map((part) => part.trim())
    .forEach((part, index) => {
      const [, key, value] = /^([\w-]+)=(.*)$/.exec(part) ?? [];
      if (key && !DISK_KEYS.includes(key)) throw new NotKnown(`disk ${text}: ${key} is not part of the fake`);
      if (part === '' && target !== undefined) return;
      if (key) disk[key] = value;
      else if (part === 'cdrom') disk.devtype = 'cdrom';
      else if (part === 'no-discard') disk.discard = false;
      else if (positions[index]) disk[positions[index]] = part;
      else bad('unknown value', part);
    });
  const [vdev, type] = (disk.vdev ?? '').split(':');
  if (type === 'cdrom') disk.devtype = 'cdrom';
  if (!disk.target || !vdev) throw new NotKnown(`disk ${text}: no target or no vdev`);
  if (!(disk.access in ACCESS)) bad('unknown value for access', disk.access);
  if (!FORMATS.includes(disk.format)) bad('unknown value for format', disk.format);
  const { script, backendtype } = disk;
  if (script !== undefined && script !== 'block' && !script.startsWith('/'))
    throw new NotKnown(`disk ${text}: Xen's script ${script} is not part of the fake`);
  if (!['phy', undefined].includes(backendtype) || (script && disk.format !== 'raw'))
    throw new NotKnown(`disk ${text}: such a backend is not part of the fake`);
  return {
    path: disk.target,
    vdev,
    vdev_number: vdevNumber(vdev),
    mode: ACCESS[disk.access],
    format: disk.format || 'raw',
    ...(backendtype && { backendtype }),
    ...(disk.discard === false && { discard: false }),
    ...(script && { script }),
    cdrom: disk.devtype === 'cdrom',
  };
}

const randomMac = () =>
  `00:16:3e${[0, 0, 0].map(() => `:${randomInt(256).toString(16).padStart(2, '0')}`).join('')}`;

function parseNic(text, warn) {
  const nic = { mac: undefined, bridge: 'xenbr0' };
  for (const part of text.split(',').map((each) => each.trim())) {
    if (part === '') continue;
    const [, key, value] = /^(\w+)=(.*)$/.exec(part) ?? [];
    if (!['mac', 'bridge', 'vifname', 'ip', 'rate', 'script', 'type', 'model'].includes(key)) {
      throw new NotKnown(`vif ${text}: ${part} is not part of the fake`);
    }
    if (key === 'mac' && !/^([0-9A-Fa-f]{1,2}:){5}[0-9A-Fa-f]{1,2}$/.test(value))
      warn("Invalid parameter `mac'.\n");
    else nic[key] = value;
  }
  return { ...nic, mac: nic.mac ?? randomMac() };
}

/**
 * Reads a guest's configuration as `xl create` does.
 *
 * @param overrides settings from the command line, which win over the file
 * @returns the domain's spec; memory in MiB
 * @throws XlError as xl puts it
 */
export function parseConfig(file, text, overrides, warn) {
  const settings = parseSyntax(file, `${text}\n${overrides.join('\n')}`);
  const scalar = (key) => {
    const found = settings.get(key);
    return found?.kind === 'list' ? undefined : found?.value;
  };
  const number = (key) => {
    const found = settings.get(key);
    if (!found) return undefined;
    if (found.kind !== 'list' && /^(0x[0-9a-fA-F]+|[0-9]+)$/.test(found.value)) return Number(found.value);
    warn(`${file}:${found.line}: warning: parameter \`${key}' is not a valid number\n`);
    return undefined;
  };
  const list = (key) => {
    const found = settings.get(key);
    return found?.kind === 'list' ? found.value : [];
  };
  const name = scalar('name');
  if (name === undefined) throw new XlError('Domain name must be specified.\n', 1);
  const builder = scalar('builder') === 'generic' ? 'pv' : scalar('builder');
  const type = scalar('type') ?? builder ?? 'pv';
  if (!['pv', 'hvm', 'pvh'].includes(type)) throw new XlError(`Invalid domain type ${type}.\n`, 1);
  const kernel = scalar('kernel');
  const memory_mib = number('memory') ?? DEFAULT_MEMORY_MIB;
  const vcpus = number('vcpus') ?? 1;
  if (type !== 'hvm' && !kernel && !scalar('bootloader')) {
    throw new XlError('Neither kernel nor bootloader specified\n', 1);
  }
  if (!kernel && scalar('bootloader')) throw new NotKnown('bootloader is not part of the fake');
  const action = (key) => {
    const value = scalar(key);
    if (value === undefined || ACTIONS.includes(value)) return value;
    throw new NotKnown(`${key} = ${value} is not part of the fake`);
  };
  const root = scalar('root');
  return {
    name,
    type,
    uuid: scalar('uuid'),
    kernel,
    ramdisk: scalar('ramdisk'),
    cmdline: scalar('cmdline') ?? [root && `root=${root}`, scalar('extra')].filter(Boolean).join(' '),
    memory_mib,
    vcpus,
    max_vcpus: Math.max(vcpus, number('maxvcpus') ?? vcpus),
    on_poweroff: action('on_poweroff'),
    on_reboot: action('on_reboot'),
    on_crash: action('on_crash'),
    disks: list('disk').map((each) => parseDisk(file, each)),
    nics: list('vif').map((each) => parseNic(each, warn)),
  };
}
