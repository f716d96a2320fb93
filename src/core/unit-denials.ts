import type { JobKind } from './ports.ts';

/** What a unit of the agent's is for. */
export type UnitKind = JobKind | 'base refresh';

/** Of what root may do, what nothing of a job or a refresh needs (capabilities(7)); the daemon's unit has the same list. */
const CAPABILITIES =
  '~CAP_AUDIT_CONTROL CAP_AUDIT_READ CAP_BLOCK_SUSPEND CAP_BPF CAP_CHECKPOINT_RESTORE CAP_IPC_OWNER CAP_LEASE CAP_MAC_ADMIN CAP_MAC_OVERRIDE CAP_PERFMON CAP_SYS_BOOT CAP_SYS_PACCT CAP_SYS_TIME CAP_SYS_TTY_CONFIG CAP_SYSLOG CAP_WAKE_ALARM';

/** Every unit: where its memory is at an end all of it ends, and what runs in it cannot touch the node's clock, swap or kernel log. */
const EVERY = [
  'OOMPolicy=kill',
  'LimitCORE=0',
  'NoNewPrivileges=yes',
  'ProtectControlGroups=yes',
  'ProtectKernelLogs=yes',
  'RestrictNamespaces=mnt pid uts ipc net',
  'RestrictRealtime=yes',
  `CapabilityBoundingSet=${CAPABILITIES}`,
  'SystemCallFilter=~@clock @cpu-emulation @obsolete @reboot @swap',
  'SystemCallErrorNumber=EPERM',
];

/** Programs of whatever distribution and template run in an installation: it has the network, and more kinds of processes. */
const INSTALLS = ['TasksMax=1024', 'RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK AF_PACKET'];
const OF_KIND: Readonly<Record<UnitKind, readonly string[]>> = {
  reinstall: INSTALLS,
  'base refresh': INSTALLS,
  fsck: [
    'TasksMax=128',
    'IPAddressDeny=any',
    'LockPersonality=yes',
    'PrivateTmp=yes',
    'ProtectHostname=yes',
    'ProtectSystem=yes',
    'RestrictAddressFamilies=AF_UNIX AF_NETLINK',
    'SystemCallArchitectures=native',
    'SystemCallFilter=~@debug',
  ],
};

/** What systemd denies a unit (systemd.exec(5)), as options of systemd-run(1); docs/security.md says what it is not denied, and why. */
export const deniedTo = (kind: UnitKind): string[] =>
  [...EVERY, ...OF_KIND[kind]].map((property) => `--property=${property}`);
