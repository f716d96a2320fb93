// xenstore-read, xenstore-write, xenstore-exists: what a disk's hotplug script asks for, and what it leaves.
import { err, NotKnown, out, withState } from './store.mjs';

const WRITABLE = ['physical-device', 'physical-device-path', 'hotplug-status', 'hotplug-error', 'node'];

/** XenbusStateInitWait while it is made, Connected, and Closed when its scripts are told to let go. */
function backendState({ phase, destroying }) {
  if (phase === 'building') return '2';
  return phase === 'off' || destroying ? '6' : '4';
}

const diskKeys = (domain, disk) => ({
  frontend: `/local/domain/${domain.id}/device/vbd/${disk.vdev_number}`,
  'frontend-id': String(domain.id),
  params: disk.path,
  script: disk.script?.startsWith('/') ? disk.script : '/etc/xen/scripts/block',
  online: '1',
  removable: '0',
  bootable: '1',
  state: backendState(domain),
  dev: disk.vdev,
  type: 'phy',
  mode: disk.mode,
  'device-type': disk.cdrom ? 'cdrom' : 'disk',
});

const domainKeys = (domain) => ({ name: domain.name, domid: String(domain.id), vm: `/vm/${domain.uuid}` });

/** A path's place: `{ values, disk, key }`; without `values` where the domain or the disk is gone. */
function place(state, path) {
  const [, vbd, vdev, key] =
    /^(?:\/local\/domain\/0\/)?backend\/vbd\/(\d+)\/(\d+)\/([\w-]+)$/.exec(path) ?? [];
  const [, id, own_key] = /^\/local\/domain\/(\d+)\/([\w-]+)$/.exec(path) ?? [];
  if (!key && !own_key) throw new NotKnown(`${path} in xenstore is not part of the fake`);
  const domain = state.domains.find((each) => each.id === Number(vbd ?? id));
  const known = key ? diskKeys({}, {}) : domainKeys({});
  if (!Object.hasOwn(known, key ?? own_key) && !(key && WRITABLE.includes(key)))
    throw new NotKnown(`${path} in xenstore is not part of the fake`);
  if (own_key) return { values: domain && domainKeys(domain), key: own_key };
  const disk = domain?.disks.find((each) => each.vdev_number === Number(vdev));
  return { values: disk && { ...diskKeys(domain, disk), ...disk.store }, disk, key };
}

function requireOperands(program, args, least) {
  const option = args.find((arg) => arg.startsWith('-'));
  if (option !== undefined) throw new NotKnown(`${program} ${option} is not part of the fake`);
  if (args.length < least || args.length % least !== 0)
    throw new NotKnown(`${program} with ${args.length} arguments is not part of the fake`);
}

function read(root, args) {
  return withState(root, (state) => {
    for (const path of args) {
      const { values, key } = place(state, path);
      const value = values?.[key];
      if (value === undefined) {
        err(`xenstore-read: couldn't read path ${path}\n`);
        return 1;
      }
      out(`${value}\n`);
    }
    return 0;
  });
}

const exists = (root, args) =>
  withState(root, (state) => {
    const found = args.map((path) => place(state, path));
    return found.every(({ values, key }) => values?.[key] !== undefined) ? 0 : 1;
  });

function write(root, args) {
  return withState(root, (state) => {
    for (let at = 0; at < args.length; at += 2) {
      const { disk, key } = place(state, args[at]);
      if (!WRITABLE.includes(key)) throw new NotKnown(`writing ${args[at]} is not part of the fake`);
      if (!disk)
        throw new NotKnown(`writing of the disk ${args[at]}, which is gone, is not part of the fake`);
      writeKey(disk, key, args[at + 1]);
    }
    return 0;
  });
}

/** Writes a key of a disk's; with its device blkback has it. */
export function writeKey(disk, key, value) {
  disk.store = { ...disk.store, [key]: value };
  const [, minor] = /^fd:([0-9a-f]+)$/.exec(key === 'physical-device' ? value : '') ?? [];
  if (minor) disk.minor = Number.parseInt(minor, 16);
}

const PROGRAMS = {
  'xenstore-read': [read, 1],
  'xenstore-exists': [exists, 1],
  'xenstore-write': [write, 2],
};

export async function main(root, program, args) {
  const [work, least] = PROGRAMS[program];
  requireOperands(program, args, least);
  return work(root, args);
}
