// What every client does with a node, and what the node answers in either dialect: the one place that says so.
import type { GuestSample, Sample } from '../../src/core/ports.ts';
import type { Call, Parameter } from './calls.ts';
import { ABSENT, Double, type Struct, type Value, Whole } from './values.ts';

/** What the node holds when the scenario begins (node.ts makes it so). */
export interface Facts {
  /** Room in the volume group. */
  readonly free_disk_mb: number;
  /** What the sample spool holds. */
  readonly samples: readonly Sample[];
  /** The counters of xen02, which runs. */
  readonly net: { readonly inbytes: number; readonly outbytes: number };
  readonly sectors: { readonly root: number; readonly swap: number };
}

/** An error that the caller is told: the legacy dialect's value or fault, the modern one's fault. */
export interface Refusal {
  readonly code: string;
  readonly message: RegExp;
  readonly legacy: 'notok' | 'denied' | 'fault';
}

/** What the caller is told, in either dialect. */
export type Answer = Refusal | { readonly legacy: Value; readonly modern: Struct };

/** One call and what comes of it. */
export interface Step {
  readonly title: string;
  readonly call: Call;
  /** Parameters of the modern dialect, where they differ. */
  readonly modern_params?: readonly Parameter[];
  /** A call that no WSDL knows: clients which read one cannot make it. */
  readonly without_wsdl?: true;
  readonly answer: (facts: Facts) => Answer;
}

const answers = (legacy: Value, modern: Struct) => (): Answer => ({ legacy, modern });
const refused =
  (code: string, message: RegExp, legacy: Refusal['legacy'] = 'notok') =>
  (): Answer => ({ code, message, legacy });
const on = (operation: string, ...params: Parameter[]): Call => ({ operation, params });
const vps = (name: string): Parameter => ['vpsname', name];
const STATE = /^[r-][b-]----$/;

const counters = ({ vpsname: _, ...sample }: GuestSample): Struct =>
  Object.fromEntries(
    Object.entries(sample).map(([name, value]) => [
      name,
      ['timestamp', 'diff_cpu_time', 'cpu_time'].includes(name) ? new Double(value) : new Whole(value),
    ]),
  );

const domain = (name: string, mem: number): Struct => ({
  id: name,
  domid: new Whole(),
  maxmem: new Whole(mem),
  vcpus: new Whole(1),
  state: STATE,
  cpuseconds: new Double(),
});

/** The admin's calls, in order. Before them xen02 runs, xen01 is installed but does not run, xen71 has nothing. */
export const ADMIN_STEPS: readonly Step[] = [
  { title: 'is there', call: on('testVPSServer'), answer: answers('OK', { result: ['OK'] }) },
  {
    title: 'echoes what is hard to write in XML',
    call: on('testVPSServer', ['one', 'é'], ['two', '<&>"\'']),
    modern_params: [['arg', ['é', '<&>"\'']]],
    answer: answers(['é', '<&>"\''], { result: ['é', '<&>"\''] }),
  },
  {
    title: 'lists several names',
    call: on('getInstallableOS'),
    answer: answers(['archlinux', 'centos'], { os: ['archlinux', 'centos'] }),
  },
  {
    title: 'lists a single name',
    call: on('getInstallableAPP'),
    answer: answers(['roundcube'], { app: ['roundcube'] }),
  },
  {
    title: 'tells the free space',
    call: on('getFreeSpace'),
    answer: ({ free_disk_mb }) => ({
      legacy: [
        [new Whole(0), `${free_disk_mb}`],
        [new Whole(0), /^[0-9]+$/],
      ],
      modern: { disk_mb: new Whole(free_disk_mb), memory_mb: new Whole(), waiting_mb: new Whole(0) },
    }),
  },
  {
    title: 'makes disks',
    call: on('setupLVMDisks', vps('71'), ['hddsize', '1024'], ['swapsize', 64], ['imagetype', 'lvm']),
    answer: answers('OK', { result: 'Made the disks of xen71' }),
  },
  {
    title: 'makes the same disks again',
    call: on('setupLVMDisks', vps('xen71'), ['hddsize', 1024], ['swapsize', '64'], ['imagetype', 'lvm']),
    answer: answers('OK', { result: 'xen71 has these disks already' }),
  },
  {
    title: 'refuses disks of other sizes',
    call: on('setupLVMDisks', vps('71'), ['hddsize', 2048], ['swapsize', 64], ['imagetype', 'lvm']),
    answer: refused('disks_exist', /^xen71 has disks of other sizes .*nothing was touched/),
  },
  {
    title: 'refuses what is not a VPS',
    call: on('startVPS', vps('xen01; reboot')),
    answer: refused('invalid_value', /vpsname must be a VPS name/),
  },
  {
    title: 'knows no such operation',
    call: on('rebootNode'),
    without_wsdl: true,
    answer: refused('unknown_operation', /^There is no operation rebootNode/, 'fault'),
  },
  {
    title: 'starts a VPS',
    call: on('startVPS', vps('xen01')),
    answer: answers(['OK', 'Started xen01'], { result: 'Started xen01' }),
  },
  {
    title: 'refuses to start a VPS that runs',
    call: on('startVPS', vps('01')),
    answer: refused('vps_running', /^xen01 cannot be started: Xen has it as domain [0-9]+/),
  },
  {
    title: 'lists what runs',
    call: on('listStartedVPS'),
    answer: () => {
      const row = (name: string, mem: number) => ({
        name,
        id: new Whole(),
        mem: new Whole(mem),
        vcpus: new Whole(1),
        state: STATE,
        time: new Double(),
      });
      const strings = (name: string, mem: string) => [name, /^[0-9]+$/, mem, '1', STATE, /^[0-9]+\.[0-9]$/];
      return {
        legacy: [strings('xen01', '512'), strings('xen02', '256')],
        modern: { vps: [row('xen01', 512), row('xen02', 256)] },
      };
    },
  },
  {
    title: 'tells the state of a VPS that runs',
    call: on('getVPSState', vps('xen02')),
    answer: () => {
      const there = domain('xen02', 256);
      return {
        legacy: ['domain', ...Object.entries(there)],
        modern: { state: 'running', domain: there, last_job: ABSENT },
      };
    },
  },
  {
    title: 'tells the state of a VPS that does not',
    call: on('getVPSState', vps('71')),
    answer: answers('Not running', { state: 'stopped', domain: ABSENT, last_job: ABSENT }),
  },
  {
    title: 'tells CPU seconds',
    call: on('getCPUUsage', vps('xen02')),
    answer: answers(new Double(), { cpu_time: new Double() }),
  },
  {
    title: 'tells bytes beyond 2^32',
    call: on('getNetworkUsage', vps('xen02')),
    answer: ({ net: { inbytes, outbytes } }) => ({
      legacy: `${inbytes},${outbytes}`,
      modern: { net_inbytes: new Whole(inbytes), net_outbytes: new Whole(outbytes) },
    }),
  },
  {
    title: 'tells sectors',
    call: on('getIOUsage', vps('xen02')),
    answer: ({ sectors: { root, swap } }) => ({
      legacy: `${root},${swap}`,
      modern: { filesystem_sectors: new Whole(root), swap_sectors: new Whole(swap) },
    }),
  },
  {
    title: 'hands out samples, with counters beyond 2^32',
    call: on('getCollectedPerformanceData', ['count', 2]),
    answer: ({ samples }) => ({
      legacy: samples.map(({ guests }) =>
        Object.fromEntries(guests.map((guest) => [guest.vpsname, counters(guest)])),
      ),
      modern: {
        sample: samples.flatMap(({ guests }) =>
          guests.map((guest) => ({ vpsname: guest.vpsname, ...counters(guest) })),
        ),
      },
    }),
  },
  {
    title: "changes the owner's password",
    call: on('changeVPSsoapPassword', vps('xen01'), ['password', `<&>"' one`]),
    answer: answers('OK', { result: 'Changed the SOAP password of xen01' }),
  },
  {
    title: 'shuts a VPS down',
    call: on('shutdownVPS', vps('xen01')),
    answer: answers(['OK', 'Shut down xen01'], { result: 'Shut down xen01', state: 'stopped' }),
  },
  {
    title: 'destroys a VPS',
    call: on('destroyVPS', vps('02')),
    answer: answers(['OK', 'Destroyed xen02'], { result: 'Destroyed xen02' }),
  },
  {
    title: 'refuses to destroy what does not run',
    call: on('destroyVPS', vps('xen02')),
    answer: refused('vps_not_running', /^xen02 is not running/),
  },
  {
    title: 'deletes a VPS',
    call: on('killVPS', vps('71'), ['imagetype', 'lvm']),
    answer: answers('OK', { result: 'Deleted xen71 with its lvm disks' }),
  },
];

/** The owner of xen01, with the password that the admin's calls set. */
export const OWNER = { user: 'xen01', password: `<&>"' one` } as const;

/** The owner's calls. */
export const OWNER_STEPS: readonly Step[] = [
  {
    title: 'may ask for the own VPS',
    call: on('getVPSState', vps('01')),
    answer: answers('Not running', { state: 'stopped', domain: ABSENT, last_job: ABSENT }),
  },
  {
    title: "may not start another's VPS",
    call: on('startVPS', vps('xen02')),
    answer: refused('not_allowed', /may not call startVPS/, 'denied'),
  },
];
