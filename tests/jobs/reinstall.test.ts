import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pino } from 'pino';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { parseConfig } from '../../src/config/load.ts';
import type { Bases } from '../../src/core/bases.ts';
import { AgentError } from '../../src/core/errors.ts';
import type { Hypervisor, ReinstallRequest } from '../../src/core/ports.ts';
import type { GuestPresence } from '../../src/core/presence.ts';
import { createSteadyClock } from '../../src/core/steady-clock.ts';
import { STORE_MARK } from '../../src/core/store-mark.ts';
import type { Domain } from '../../src/core/vps.ts';
import { createDiskFiles } from '../../src/drivers/disk-files.ts';
import { createFileLocks, createVpsLocks } from '../../src/drivers/flock.ts';
import { createGuestConfigs } from '../../src/drivers/guest-config.ts';
import { createRunner } from '../../src/drivers/run.ts';
import { createTemplates } from '../../src/drivers/templates.ts';
import { reinstallPlan } from '../../src/jobs/reinstall.ts';
import { createSystems } from '../../src/jobs/systems/systems.ts';
import { diskWith, hypervisorWith, PROGRAM_PATH, runPlan, vpsOf } from './plan-harness.ts';

const vps = vpsOf('01');
const HASH = '$6$salt$notARealHashButOfTheRightForm';
const REQUEST: ReinstallRequest = {
  os: 'debian',
  memory_mb: 512,
  nics: [
    { ip: '192.0.2.10', netmask: '255.255.255.0', broadcast: '192.0.2.255' },
    { ip: '192.0.2.11', netmask: '255.255.255.0', broadcast: '192.0.2.255' },
  ],
  gateway: '192.0.2.1',
  dns: ['192.0.2.53', '192.0.2.54'],
  image_type: 'vbd',
};
const STEPS = [
  ...['check', 'prepare', 'mkfs', 'mount', 'bootstrap', 'configure'],
  ...['password', 'network', 'customize', 'unmount', 'prove', 'swap', 'done'],
];

/** Calls the script `reinstall-bootstrap` with what it was asked for. */
const bases: Bases = {
  volume: async () => undefined,
  async install({ release, mirror, packages }, root, context) {
    const args = ['--root', root, '--release', release];
    if (mirror !== '') args.push('--mirror', mirror);
    if (packages.length > 0) args.push('--packages', packages.join(','));
    await context.script('reinstall-bootstrap', args, { timeout_ms: 60_000 });
  },
};

let folder: string;
let scripts: string;
let domains: Domain[];

/** A script that writes down how it was called, does `body`, and ends well. */
function script(path: string, body = ''): void {
  const record = `printf '%s\\n' "\${0##*/}" "$@" >>'${folder}/calls'; echo >>'${folder}/calls'; cat >>'${folder}/input'`;
  writeFileSync(path, `#!/bin/sh\n${record}\n${body}\n`);
  chmodSync(path, 0o755);
}

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'reinstall-'));
  scripts = join(folder, 'scripts');
  domains = [];
  for (const name of ['scripts', 'mnt', 'xen/auto', 'os']) mkdirSync(join(folder, name), { recursive: true });
  for (const name of [
    'mkfs',
    'mount',
    'bootstrap',
    'base-config',
    'network',
    'root-password',
    'first-boot',
    'umount',
    'prove',
    'swap-space',
    'hook',
  ]) {
    script(join(scripts, `reinstall-${name}`));
  }
  for (const disk of ['xen01.img', 'xen01.swap.img']) writeFileSync(join(folder, 'mnt', disk), disk);
  writeFileSync(join(folder, 'xen/xen01'), 'the old one');
});
afterEach(() => rmSync(folder, { recursive: true }));

function reinstall(
  change: Partial<ReinstallRequest> = {},
  settings = '',
  hypervisor: Hypervisor = hypervisorWith(domains),
) {
  const config = parseConfig(
    `provisioning_mount_point=${folder}/mnt\nxen_dir=${folder}/xen\nos_dir=${folder}/os\napp_dir=${folder}/app\netc_dir=${folder}/etc\nstate_dir=${folder}/state\n${settings}`,
  );
  const runner = createRunner({ path: PROGRAM_PATH });
  const vbd = createDiskFiles({ runner, config });
  const disks = { vbd, lvm: vbd };
  const guests = createGuestConfigs({ config });
  const locks = createVpsLocks({ run_dir: join(folder, 'run'), locks: createFileLocks(runner) });
  const log = pino({ level: 'silent' });
  const clock = createSteadyClock(config);
  const plan = reinstallPlan({
    config,
    hypervisor,
    locks,
    disks,
    guests,
    templates: createTemplates({ config }),
    systems: createSystems({ config, hypervisor, disks, guests, locks, clock, log }),
    bases,
    node_name: 'node1.example.com',
    figures: async () => 'the node has 1 of 2 MiB memory left',
    kernel: () =>
      Promise.resolve({
        kernel: '/boot/k',
        initrd: '/boot/i',
        release: '6.12',
        modules: '/lib/modules/6.12',
      }),
  });
  const order = {
    id: 'a',
    vps,
    request: { ...REQUEST, ...change },
    secret: HASH,
    mount_point: join(folder, 'mnt/01'),
  };
  return runPlan(plan(order), scripts);
}

const IN_PLACE = 'reinstall_mode=in-place\n';
const images = () =>
  readdirSync(join(folder, 'mnt'))
    .filter((name) => name !== STORE_MARK)
    .sort();

/** Every call of a script, an argument a line; but for the settings of the shipped templates. */
const calls = () => {
  const log = join(folder, 'calls');
  return existsSync(log)
    ? readFileSync(log, 'utf8')
        .replaceAll(/--set\n.*\n/g, '')
        .split('\n\n')
    : [];
};
const guestFile = () =>
  existsSync(join(folder, 'xen/xen01')) ? readFileSync(join(folder, 'xen/xen01'), 'utf8') : undefined;

describe('an installation of Debian', () => {
  const built = (disk: string, ...swap: string[]) => {
    const mnt = `${folder}/mnt`;
    return [
      [`reinstall-mkfs --root ${mnt}/${disk}`, ...swap].join(' '),
      `reinstall-mount --root ${mnt}/${disk} --on ${mnt}/01`,
      `reinstall-bootstrap --root ${mnt}/01 --release trixie`,
      `reinstall-base-config --root ${mnt}/01 --name xen01 --fqdn mx.xen01.node1.example.com --ip 192.0.2.10 --disk-type xvd --etc-dir ${folder}/etc --kernel-release 6.12 --kmod-path /lib/modules/6.12`,
      `reinstall-root-password --root ${mnt}/01`,
      `reinstall-network --root ${mnt}/01 --nic 192.0.2.10,255.255.255.0,192.0.2.255 --nic 192.0.2.11,255.255.255.0,192.0.2.255 --gateway 192.0.2.1 --dns 192.0.2.53,192.0.2.54`,
      `reinstall-first-boot --root ${mnt}/01 --keep-host-keys`,
      `reinstall-umount ${mnt}/01`,
      `reinstall-prove --root ${mnt}/${disk} --boots`,
    ];
  };
  const called = () => calls().map((call) => call.split('\n').join(' '));

  it('goes through its steps beside the old system, and then the guest can be started', async () => {
    const { begun, error, message, log } = await reinstall();
    expect(error).toBeUndefined();
    expect(begun).toEqual(STEPS);
    expect(message).toBe(
      'Debian trixie is installed on xen01; startVPS boots it. The old system stays for 24 h: rollbackVPSos brings it back.',
    );
    expect(called()).toEqual([
      ...built('xen01.new.img'),
      `reinstall-swap-space --swap ${folder}/mnt/xen01.swap.img`,
      '',
    ]);
    expect(log).toContain('The system is built beside the old one.');
    expect(images()).toEqual(['xen01.img', 'xen01.old.img', 'xen01.swap.img']);
    expect(readFileSync(join(folder, 'mnt/xen01.old.img'), 'utf8')).toBe('xen01.img');
    expect(readFileSync(join(folder, 'input'), 'utf8')).toBe(`${HASH}\n`);
    expect(guestFile()).toContain('memory = 512');
    expect(guestFile()).toContain('kernel = "/boot/k"');
    expect(readlinkSync(join(folder, 'xen/auto/xen01'))).toBe('../xen01');
  });

  it('is built in place where the configuration says so, and tells that it cannot be undone', async () => {
    const { begun, error, message, fate } = await reinstall({}, IN_PLACE);
    expect([begun, error]).toEqual([STEPS, undefined]);
    expect(message).toBe(
      'Debian trixie is installed on xen01; startVPS boots it. reinstall_mode is in-place: the system that was there is built over, and this cannot be undone.',
    );
    expect(fate).toEqual({ state: 'succeeded', told: message });
    expect(called()).toEqual([...built('xen01.img', `--swap ${folder}/mnt/xen01.swap.img`), '']);
    expect(images()).toEqual(['xen01.img', 'xen01.swap.img']);
    expect(guestFile()).toContain('memory = 512');
  });

  it('is not built over a system that was to stay, as the caller was answered: another took the room meanwhile', async () => {
    const { begun, error } = await reinstall({ mode: 'swap' }, IN_PLACE);
    expect(error).toMatchObject({
      code: 'no_space',
      message: expect.stringMatching(
        /^xen01 cannot be reinstalled beside its system, as was answered: .*order it again/,
      ),
    });
    expect([begun, called()]).toEqual([['check'], []]);
    expect(readFileSync(join(folder, 'mnt/xen01.img'), 'utf8')).toBe('xen01.img');
    expect(guestFile()).toBe('the old one');
    expect((await reinstall({ mode: 'swap' })).error).toBeUndefined();
  });

  it('is built on a disk with nothing on it at once', async () => {
    rmSync(join(folder, 'xen/xen01'));
    const { message } = await reinstall({ mode: 'swap' }, 'reinstall_mode=swap\n');
    expect(message).toBe('Debian trixie is installed on xen01; startVPS boots it.');
    expect(images()).toEqual(['xen01.img', 'xen01.swap.img']);
  });

  it('deletes the old system at once where reinstall_keep_hours is 0', async () => {
    writeFileSync(join(folder, 'made'), diskWith('a new one'));
    script(join(scripts, 'reinstall-mkfs'), `cat '${folder}/made' >"$2"`);
    const { message, log } = await reinstall({}, 'reinstall_keep_hours=0\n');
    expect(message).toContain('The old system goes when the new one is in its place.');
    expect(log).toContain(
      'The old system of xen01 was deleted: its time was over (reinstall_keep_hours = 0).',
    );
    expect(images()).toEqual(['xen01.img', 'xen01.swap.img']);
  });

  it('takes mirror and packages from the configuration', async () => {
    await reinstall({}, 'debian_repo=http://mirror.test/debian\ndebian_added_debs="vim, less"\n');
    expect(calls()[2]?.split('\n').slice(5)).toEqual([
      ...['--mirror', 'http://mirror.test/debian', '--packages', 'vim,less'],
    ]);
  });

  it('runs the custom_postinstall_script with the arguments of a template', async () => {
    script(join(folder, 'custom'));
    const { error } = await reinstall({}, `custom_postinstall_script=${folder}/custom\n`);
    expect(error).toBeUndefined();
    const [name, program, ...args] = calls().at(-5)?.split('\n') ?? [];
    expect([name, program]).toEqual(['reinstall-hook', `${folder}/custom`]);
    expect(args.join(' ')).toBe(
      `-path ${folder}/mnt/01 -vpsid 01 -ram 512 -os debian -nic 192.0.2.10,255.255.255.0,192.0.2.255 -nic 192.0.2.11,255.255.255.0,192.0.2.255 -gw 192.0.2.1 -dns 192.0.2.53,192.0.2.54 --disk-type vbd --xen-domu-hdd-dev-type xvd --vps-fqdn mx.xen01.node1.example.com --vps-domain xen01.node1.example.com --node-fqdn node1.example.com --virt-type xen --kernel /boot/k --kernel-release 6.12 --kmod-path /lib/modules/6.12 --initrd /boot/i --mac 02:f8:c5:c1:b8:f6`,
    );
  });

  it("tells a template's programs the guests' kernel parameters, as one argument", async () => {
    script(join(folder, 'custom'));
    await reinstall({}, `custom_postinstall_script=${folder}/custom\nXENU_EXTRA_PARM="quiet 4"\n`);
    expect(calls().at(-5)?.split('\n').slice(-2)).toEqual(['--xenu_extra_parm', 'quiet 4']);
  });
});

describe("a VPS's MAC address", () => {
  const DTC_XEN = 'memory = 64\nname = "xen01"\nvif = [ \'mac=00:16:3e:01:02:0a, ip=192.0.2.10\' ]\n';
  const mac = () => /mac=([^,]*),/.exec(readFileSync(join(folder, 'xen/xen01'), 'utf8'))?.[1];

  it.each(['swap', 'in-place'])('stays what DTC-Xen configured, reinstalled %s', async (mode) => {
    writeFileSync(join(folder, 'xen/xen01'), DTC_XEN);
    const { error } = await reinstall({}, `reinstall_mode=${mode}\nvps_mac_prefix=00:16:3e:01:02\n`);
    expect(error).toBeUndefined();
    expect(mac()).toBe('00:16:3e:01:02:0a');
  });

  it('stays where an installation in place fails and the next one does not', async () => {
    writeFileSync(join(folder, 'xen/xen01'), DTC_XEN);
    const keys = 'reinstall_mode=in-place\nvps_mac_prefix=00:16:3e:01:02\n';
    script(join(scripts, 'reinstall-bootstrap'), 'exit 1');
    expect((await reinstall({}, keys)).error).toBeDefined();
    expect(existsSync(join(folder, 'xen/xen01'))).toBe(false);
    script(join(scripts, 'reinstall-bootstrap'));
    // A job's locks end with its process.
    rmSync(join(folder, 'run'), { recursive: true });
    expect((await reinstall({}, keys)).error).toBeUndefined();
    expect(mac()).toBe('00:16:3e:01:02:0a');
  });

  it('stays where the next one after that is refused by a guest that was started meanwhile', async () => {
    writeFileSync(join(folder, 'xen/xen01'), DTC_XEN);
    const keys = 'reinstall_mode=in-place\nvps_mac_prefix=00:16:3e:01:02\n';
    script(join(scripts, 'reinstall-bootstrap'), 'exit 1');
    await reinstall({}, keys);
    rmSync(join(folder, 'run'), { recursive: true });
    let looks = 0;
    const starting = {
      ...hypervisorWith(domains),
      // The check finds it stopped; the look after the configuration is gone does not.
      presence: async (): Promise<GuestPresence> => {
        looks += 1;
        const domain = { name: 'xen01', domid: 3, memory_mib: 64, vcpus: 1, state: 'r-----', cpu_seconds: 1 };
        return looks > 2 ? { kind: 'domain', domain } : { kind: 'stopped' };
      },
    };
    expect((await reinstall({}, keys, starting)).error).toMatchObject({ code: 'vps_running' });
    rmSync(join(folder, 'run'), { recursive: true });
    script(join(scripts, 'reinstall-bootstrap'));
    expect((await reinstall({}, keys)).error).toBeUndefined();
    expect(mac()).toBe('00:16:3e:01:02:0a');
  });
});

describe('an installation of a template', () => {
  const template = (...hooks: string[]) => {
    mkdirSync(join(folder, 'os/centos'));
    for (const hook of hooks) script(join(folder, 'os/centos', hook));
  };
  const programs = () => calls().map((call) => call.split('\n').slice(0, 2).join(' ').replace(folder, ''));

  it('calls all of its programs in their places', async () => {
    template('install_os', 'custom_os', 'setup_network', 'last_stage_custom');
    const { error, message } = await reinstall({ os: 'centos' });
    expect(error).toBeUndefined();
    expect(message).toMatch(/^centos is installed on xen01; startVPS boots it\./);
    expect(programs().slice(2, 8)).toEqual([
      'reinstall-hook /os/centos/install_os',
      'reinstall-hook /os/centos/custom_os',
      'reinstall-root-password --root',
      'reinstall-hook /os/centos/setup_network',
      'reinstall-first-boot --root',
      'reinstall-hook /os/centos/last_stage_custom',
    ]);
  });

  it('does itself what the template does not', async () => {
    template('install_os');
    await reinstall({ os: 'centos' });
    expect(programs().slice(2, 6)).toEqual([
      'reinstall-hook /os/centos/install_os',
      'reinstall-base-config --root',
      'reinstall-root-password --root',
      'reinstall-network --root',
    ]);
  });

  it.each(['centos', 'none', '../os/centos', '-x'])('refuses %s without an install_os', async (os) => {
    template('custom_os');
    const { error, begun } = await reinstall({ os });
    expect(error).toMatchObject({ code: 'unknown_os' });
    expect(begun).toEqual(['check']);
    expect(guestFile()).toBe('the old one');
  });
});

describe('an appliance', () => {
  beforeEach(() => {
    mkdirSync(join(folder, 'os/centos'));
    script(join(folder, 'os/centos/install_os'));
    mkdirSync(join(folder, 'app/forum'), { recursive: true });
    writeFileSync(join(folder, 'app/forum/setup-script'), '');
  });

  it('is put into the operating system that it depends on, with the first_boot_script', async () => {
    writeFileSync(join(folder, 'app/forum/depends'), 'centos\n');
    script(join(folder, 'first'));
    const { error, message } = await reinstall({ os: 'forum' }, `first_boot_script=${folder}/first\n`);
    expect(error).toBeUndefined();
    expect(message).toMatch(/^forum is installed on xen01; startVPS boots it\./);
    const called = calls().map((call) => call.split('\n').join(' '));
    expect(called[2]).toContain(`reinstall-hook ${folder}/os/centos/install_os`);
    expect(called).toContain(
      `reinstall-first-boot --root ${folder}/mnt/01 --script ${folder}/first --appliance ${folder}/app/forum`,
    );
  });

  it('that does not want the root password does not have it', async () => {
    writeFileSync(join(folder, 'app/forum/depends'), 'centos\n');
    await reinstall({ os: 'forum' });
    expect(calls().join('\n')).not.toContain('--root-password');
  });

  it('that wants the root password, and was ordered before it was known to, is not begun', async () => {
    writeFileSync(join(folder, 'app/forum/depends'), 'centos\n');
    writeFileSync(join(folder, 'app/forum/wants-root-password'), '');
    const { error } = await reinstall({ os: 'forum' });
    expect(error).toMatchObject({ message: expect.stringContaining('order it again') });
    expect(calls()).toEqual([]);
  });

  it.each(['nosuch\n', 'xenhvm\n', '', '../os/centos', 'forum\n'])(
    'that depends on %j changes nothing',
    async (depends) => {
      writeFileSync(join(folder, 'app/forum/depends'), depends);
      const { error } = await reinstall({ os: 'forum' });
      expect(error).toMatchObject({ code: 'unknown_os' });
      expect(calls()).toEqual([]);
      expect(guestFile()).toBe('the old one');
    },
  );
});

describe('a guest that installs itself', () => {
  it.each([
    ['xenhvm', 'type = "hvm"', 'writeXenHVMconf'],
    ['netbsd', 'kernel = "/boot/netbsd-INSTALL_XEN3_DOMU"', 'changeBSDkernel'],
    ['manual', 'kernel = "/boot/k"\nramdisk = "/boot/i"', 'put a system on them'],
  ])('%s gets a configuration, and its disks stay', async (os, line, next) => {
    const { begun, error, message } = await reinstall({ os });
    expect(error).toBeUndefined();
    expect(begun).toEqual(['check', 'guest']);
    expect(calls()).toEqual([]);
    expect(guestFile()).toContain(line);
    expect(message).toContain('its disks were not touched');
    expect(message).toContain(next);
  });
});

describe('an installation that cannot begin changes nothing', () => {
  const untouched = async (run: ReturnType<typeof reinstall>, code: string) => {
    const { error, begun, fate } = await run;
    expect(error).toMatchObject({ code });
    expect(fate).toEqual({ state: 'failed', told: 'Nothing was changed: the disks are as they were.' });
    expect(begun).toEqual(['check']);
    expect(calls()).toEqual([]);
    expect(guestFile()).toBe('the old one');
  };

  it('Xen has a domain of that name', async () => {
    domains = [{ name: 'xen01', domid: 3, memory_mib: 512, vcpus: 1, state: '--ps--', cpu_seconds: 1 }];
    await untouched(reinstall(), 'vps_running');
  });

  it('a disk is missing', async () => {
    rmSync(join(folder, 'mnt/xen01.swap.img'));
    await untouched(reinstall(), 'disks_missing');
  });

  it('the custom_postinstall_script is missing', () =>
    untouched(reinstall({}, 'custom_postinstall_script=/no/such\n'), 'not_found'));

  it('the guest is started between the check and the new file systems', async () => {
    let asked = 0;
    const state = { name: 'xen01', domid: 4, memory_mib: 0, vcpus: 0, state: '--p---', cpu_seconds: 0 };
    const hypervisor = {
      ...hypervisorWith([]),
      presence: async (): Promise<GuestPresence> => {
        asked += 1;
        return asked > 1 ? { kind: 'domain', domain: state } : { kind: 'stopped' };
      },
    };
    const { error, begun } = await reinstall({}, IN_PLACE, hypervisor);
    expect(error).toMatchObject({ code: 'vps_running' });
    expect(begun).toEqual(['check', 'prepare']);
    expect(calls()).toEqual([]);
    expect(guestFile()).toBe('the old one');
  });
});

describe('an installation that fails', () => {
  it.each([
    ['mkfs', 'mkfs'],
    ['mount', 'mount'],
    ['bootstrap', 'bootstrap'],
    ['configure', 'base-config'],
    ['password', 'root-password'],
    ['network', 'network'],
    ['customize', 'first-boot'],
    ['unmount', 'umount'],
    ['prove', 'prove'],
  ])('in step %s says so, and leaves no guest that could be started', async (step, name) => {
    script(join(scripts, `reinstall-${name}`), "echo 'E: the cause' >&2; exit 25");
    const beside = await reinstall();
    expect(beside.begun.at(-1)).toBe(step);
    expect(beside.fate).toEqual({ state: 'failed', told: 'The system that was there is as it was.' });
    expect(guestFile()).toBe('the old one');
    expect(readFileSync(join(folder, 'mnt/xen01.img'), 'utf8')).toBe('xen01.img');

    const { error, begun, fate } = await reinstall({}, IN_PLACE);
    expect(begun.at(-1)).toBe(step);
    expect(error).toBeInstanceOf(AgentError);
    expect(error?.message.replace(/\.?$/, '.')).toBe(
      `script reinstall-${name} failed (exit code 25): E: the cause.`,
    );
    expect(fate).toEqual({
      state: 'failed',
      told: 'Its disks were made anew and hold an unfinished system: mend the cause, and reinstall it.',
    });
    expect(guestFile()).toBeUndefined();
    expect(existsSync(join(folder, 'xen/auto/xen01'))).toBe(false);
  });

  it('never tells the password', async () => {
    script(join(scripts, 'reinstall-root-password'), 'exit 1');
    const { error, log } = await reinstall();
    expect(`${error?.message}${JSON.stringify((error as AgentError).log)}${log}`).not.toContain(HASH);
    expect(calls().join('\n')).not.toContain(HASH);
  });
});
