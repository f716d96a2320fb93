import { isIPv4 } from 'node:net';
import * as z from 'zod';

const text = (doc: string, fallback = '') => z.string().default(fallback).describe(doc);
const path = (doc: string, fallback: string) =>
  z
    .string()
    .regex(/^\/[^\0\n]*$/, 'must be an absolute path')
    .default(fallback)
    .describe(doc);
const optionalPath = (doc: string, fallback = '') =>
  z
    .string()
    .regex(/^(\/[^\0\n]*)?$/, 'must be an absolute path, or empty')
    .default(fallback)
    .describe(doc);
const whole = (doc: string, fallback: number, min: number, max: number) =>
  z
    .string()
    .regex(/^[0-9]{1,9}$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.number().min(min).max(max))
    .default(fallback)
    .describe(doc);
const mirror = (doc: string, fallback: string) =>
  z
    .string()
    .regex(/^(https?|file|copy):\/\/[A-Za-z0-9._~:/%@+=-]+$/, "must be a mirror's address")
    .default(fallback)
    .describe(doc);
const release = (doc: string, fallback: string) =>
  z
    .string()
    .regex(/^[a-z0-9][a-z0-9.-]{0,31}$/, 'must be a release such as noble or 9')
    .default(fallback)
    .describe(doc);
const address = (doc: string) =>
  z
    .string()
    .refine((value) => value === '' || isIPv4(value), 'must be an IPv4 address, or empty')
    .default('')
    .describe(doc);

/**
 * Every key of /etc/dtc-xen/dtc-xen.conf: type, default, description (contract, "Configuration keys"). The sample
 * debian/dtc-xen.conf is generated from it.
 */
export const configSchema = z.strictObject({
  listen_address: text(
    'Address that the SOAP server listens on; 0.0.0.0 is every IPv4 address, :: every address.',
    '0.0.0.0',
  ),
  listen_port: whole('Port of the SOAP server; 0 takes a free one.', 8089, 0, 65535),
  admin_user: z
    .string()
    .min(1, 'must not be empty')
    .default('dtc-xen')
    .describe('The SOAP user that may call everything.'),
  cert_passphrase: text('Passphrase of the private key /etc/dtc-xen/privkey.pem; empty where it has none.'),
  provisioning_volgroup: text('Volume group of the VPS disks; empty: the only one there is.'),
  provisioning_thinpool: text(
    'Thin pool in it that new VPS disks are made in (lvmthin(7)); empty: none, disks have room of their own.',
  ),
  provisioning_mount_point: path(
    'Where roots are mounted while they are worked on, and NN.log is the install log.',
    '/var/lib/dtc-xen/mnt',
  ),
  vps_mac_prefix: z
    .string()
    .regex(/^(([0-9A-Fa-f]{2}:){2,4}[0-9A-Fa-f]{2})?$/, 'must be 3 to 5 bytes such as 00:16:3e, or empty')
    .default('')
    .describe(
      "First bytes of guests' MAC addresses; empty: locally administered ones (02:...) that differ between nodes.",
    ),
  vif_bridge: text("Bridge that guests' interfaces are put on.", 'xenbr0'),
  vnc_listen: z
    .string()
    .refine((value) => isIPv4(value), 'must be an IPv4 address')
    .default('127.0.0.1')
    .describe(
      "Address on which fully virtualized guests' VNC screens listen; 0.0.0.0: every address. One without a password: 127.0.0.1.",
    ),
  XEN_DOMU_HDD_DEV_TYPE: z
    .enum(['xvd', 'sd', 'hd', 'xvda', 'sda', 'hda'])
    .transform((value) => value.replace(/a$/, '') as 'xvd' | 'sd' | 'hd')
    .default('xvd')
    .describe('What the guest calls its disks: xvd, sd or hd (DTC-Xen: sda).'),
  KERNELPATH: optionalPath("Kernel of paravirtual guests; empty: dom0's running kernel."),
  INITRDPATH: optionalPath('Initial RAM disk that goes with it.'),
  KERNEL_RELEASE: text("Release of that kernel; empty: dom0's running one."),
  KMOD_PATH: optionalPath('Its modules; empty: /lib/modules/KERNEL_RELEASE.'),
  XENU_EXTRA_PARM: text("Added to the guests' kernel command line."),
  bsd_kernel_path: path('Kernel of BSD guests.', '/boot/netbsd-XEN3_DOMU'),
  bsd_install_kernel_path: path('Install kernel of BSD guests.', '/boot/netbsd-INSTALL_XEN3_DOMU'),
  debian_repo: text("Debian mirror; empty: the one in dom0's own apt sources."),
  debian_release: z
    .string()
    .regex(/^[a-z][a-z0-9-]{0,31}$/, 'must be a release name such as trixie')
    .default('trixie')
    .describe('Debian release that reinstallVPSos bootstraps.'),
  debian_added_debs: z
    .string()
    .regex(/^([a-z0-9][a-z0-9+.-]*([ ,]+|$))*$/, 'must be package names, with spaces or commas between')
    .default('')
    .describe('More Debian packages for every new VPS.'),
  ubuntu_repo: mirror(
    'Mirror that the template ubuntu is installed from.',
    'http://archive.ubuntu.com/ubuntu',
  ),
  ubuntu_release: release('Ubuntu release where the ostype names none.', 'noble'),
  ubuntu_keyring: path(
    "Keyring that Ubuntu's releases are checked with.",
    '/usr/share/keyrings/ubuntu-archive-keyring.gpg',
  ),
  rocky_repo: mirror(
    'Mirror that the template rocky is installed from.',
    'https://dl.rockylinux.org/pub/rocky',
  ),
  rocky_release: release('Rocky Linux release where the ostype names none.', '9'),
  rocky_key: optionalPath(
    'Key that packages of Rocky Linux are checked with; empty: the one on the mirror, which must then be https.',
  ),
  image_dir: path(
    'Root file systems and disk images NAME.tar.gz, NAME.qcow2, ... with NAME.sha256: the ostypes image-NAME.',
    '/var/lib/dtc-xen/images',
  ),
  base_max_age_days: whole(
    'Days after which the bootstrapped system that is kept for reinstalls is made anew, at night.',
    7,
    1,
    3650,
  ),
  reinstall_mode: z
    .enum(['auto', 'swap', 'in-place'])
    .default('auto')
    .describe(
      'How a reinstall is done: swap builds beside the old system and exchanges them, in-place builds over it, auto swaps where there is room.',
    ),
  reinstall_keep_hours: whole(
    'Hours that the system before a reinstall stays, for rollbackVPSos; 0: it goes at once.',
    24,
    0,
    24 * 365,
  ),
  wipe_removed_disks: z
    .enum(['no', 'yes'])
    .default('yes')
    .describe(
      'Whether removed volumes are overwritten with zeroes before their room is given to others: yes or no. In a thin pool it is not needed.',
    ),
  owners_set_resources: z
    .enum(['no', 'yes'])
    .default('no')
    .describe(
      "Whether a VPS's owner may give it other memory and addresses than its configuration says, or install it first: no or yes.",
    ),
  GATEWAY: address('Gateway of VPSes whose panel sends none.'),
  NETMASK: address('Netmask of addresses that come without one.'),
  BROADCAST: address('Broadcast address of addresses that come without one.'),
  DNS: text('Name servers of VPSes whose panel sends none, one or two, a comma between.'),
  first_boot_script: optionalPath(
    'Program that is put into every guest and run there once, at its first boot.',
  ),
  custom_postinstall_script: optionalPath('Program that is run at the end of every installation.'),
  perf_direction: z
    .enum(['dom0', 'guest'])
    .default('dom0')
    .describe(
      "Whose receiving is called `in` in performance samples: dom0's, as DTC-Xen had it, or the guest's.",
    ),
  perf_retention: whole('Days that samples which no panel fetched are kept.', 7, 1, 3650),
  node_name: text("This node's name; empty: its host name."),
  job_runner: z
    .enum(['auto', 'systemd', 'detached'])
    .default('auto')
    .describe(
      'What runs jobs: transient systemd units, detached processes, or systemd where it is process 1.',
    ),
  log_level: z
    .enum(['trace', 'debug', 'info', 'warn', 'error'])
    .default('info')
    .describe('Lowest level of log lines.'),
  etc_dir: path('Users, certificate and files for guests.', '/etc/dtc-xen'),
  xen_dir: path('Guest configurations, with auto/ for the autostart links.', '/etc/xen'),
  state_dir: path("Jobs, samples and the console users' homes.", '/var/lib/dtc-xen'),
  run_dir: path('Locks.', '/run/dtc-xen'),
  xen_log_dir: path('Where xl writes what becomes of guests: xl-xenNN.log.', '/var/log/xen'),
  xen_save_dir: optionalPath(
    "Where xendomains saves guests' memory; empty: XENDOMAINS_SAVE of /etc/default/xendomains.",
  ),
  block_script: optionalPath(
    "Xen's script for the disks of new configurations, which refuses a start while something works on them; empty, or not there: Xen's own.",
    '/etc/xen/scripts/block-dtc-xen',
  ),
  device_model: path(
    'qemu that xl starts for fully virtualized guests; it is asked whether it can check VNC passwords.',
    '/usr/libexec/xen-qemu-system-i386',
  ),
  console_log_dir: path("Where xenconsoled writes guests' consoles.", '/var/log/xen/console'),
  os_dir: path('Operating system templates.', '/usr/share/dtc-xen-os'),
  app_dir: path('Appliances.', '/usr/share/dtc-xen-app'),
  scripts_dir: path("The agent's own shell programs.", '/usr/share/dtc-xen/scripts'),
  program_path: text(
    'Where programs (xl, lvcreate, ...) are looked for.',
    '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
  ),
  dev_dir: path('Where volume groups have their device nodes.', '/dev'),
  proc_dir: path("The kernel's proc file system.", '/proc'),
  sys_dir: path("The kernel's sys file system.", '/sys'),
});

/** The configuration, checked and frozen. */
export type Config = Readonly<z.output<typeof configSchema>>;

/** A key of the configuration file. */
export type ConfigKey = keyof typeof configSchema.shape;
