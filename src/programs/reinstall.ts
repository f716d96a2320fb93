import { parseArgs } from 'node:util';
import { DEFAULT_CONFIG } from '../config/load.ts';
import { COMMON_OPTIONS, imageType } from './positional.ts';
import { type OperationRequest, type Program, UsageError } from './program.ts';

/** DTC-Xen's long options with one dash, which getopt would take apart. */
const ONE_DASH = /^-(?:vpsid|ram|nic|pass|os|gw|dns)$/;
/** What DTC-Xen took here and the node's configuration, or another program, says now. */
const GONE: Readonly<Record<string, string>> = {
  kernel: 'KERNELPATH in dtc-xen.conf',
  initrd: 'INITRDPATH in dtc-xen.conf',
  'kernel-release': 'KERNEL_RELEASE in dtc-xen.conf',
  'kmod-path': 'KMOD_PATH in dtc-xen.conf',
  'lvm-name': 'provisioning_volgroup in dtc-xen.conf',
  'xen-domu-hdd-dev-type': 'XEN_DOMU_HDD_DEV_TYPE in dtc-xen.conf',
  mac: 'vps_mac_prefix in dtc-xen.conf',
  'node-fqdn': 'node_name in dtc-xen.conf',
  'vps-fqdn': 'node_name in dtc-xen.conf, which names of VPSes are made of',
  'vps-domain': 'node_name in dtc-xen.conf, which names of VPSes are made of',
  'vnc-pass': 'dtc_write_xenhvm_conf',
  'boot-iso': 'dtc_write_xenhvm_conf',
};

const USAGE = `Usage: dtc_reinstall_os [-v] -vpsid VPS -ram MB -nic IP[,NETMASK[,BROADCAST]]... -os NAME
                        [-gw IP] [-dns IP[,IP]] [--disk-type lvm|vbd] [--pass-file FILE]
       dtc_reinstall_os [-v] VPS HDD_MB RAM_MB 'IP...' NAME [lvm|vbd]

Installs an operating system onto the disks of a stopped VPS (01 or xen01), as reinstallVPSos, and waits for the end. Where it
is interrupted, the installation goes on. The root password is the first line of standard input.

  -v                print the installation's log
  --pass-file FILE  read the root password from the first line of a file
  -pass PASSWORD    the root password, as DTC-Xen had it: anybody on the node can see it; do not use it
${COMMON_OPTIONS}`;

/** The options that take one value, those of {@link GONE} among them. */
const ONE_VALUE = ['vpsid', 'ram', 'pass', 'pass-file', 'os', 'gw', 'dns', 'disk-type', 'virt-type'];

function parse(argv: readonly string[]) {
  const names = [...ONE_VALUE, ...Object.keys(GONE)];
  const single: Record<string, { type: 'string' }> = Object.fromEntries(
    names.map((name) => [name, { type: 'string' }]),
  );
  try {
    const { values, positionals } = parseArgs({
      args: argv.map((word) => (ONE_DASH.test(word) ? `-${word}` : word)),
      allowPositionals: true,
      options: {
        ...single,
        config: { type: 'string', default: DEFAULT_CONFIG },
        nic: { type: 'string', multiple: true },
        verbose: { type: 'boolean', short: 'v' },
        help: { type: 'boolean' },
      },
    });
    const { config, nic = [], verbose = false, help = false, ...rest } = values;
    return { config_file: config, nic, verbose, help, values: rest as Record<string, string>, positionals };
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
}

/** dtc_reinstall_os, with the options of DTC-Xen 0.5 and the arguments of the versions before. */
export const reinstallProgram: Program = {
  usage: USAGE,
  needs_arguments: true,
  parse(argv) {
    const { config_file, nic, verbose, help, values, positionals } = parse(argv);
    if (help) return { request: 'help', config_file };
    for (const [name, instead] of Object.entries(GONE)) {
      if (values[name] !== undefined) throw new UsageError(`--${name} is said by ${instead} now.`);
    }
    if (!['xen', undefined].includes(values['virt-type'])) throw new UsageError('--virt-type must be xen.');
    const request = (params: OperationRequest['params']): OperationRequest => ({
      operation: 'reinstallVPSos',
      params,
      secret: {
        param: 'password',
        prompt: "The VPS's root password",
        given: values['pass'],
        file: values['pass-file'],
      },
      follow: verbose ? 'log' : 'quiet',
    });

    if (positionals.length > 0) {
      const [vpsname = '', hddsize = '', ramsize = '', ipaddr = '', ostype = '', kind] = positionals;
      if (positionals.length < 5 || positionals.length > 6 || values['vpsid'] !== undefined)
        throw new UsageError('takes options, or 5 or 6 arguments.');
      const params = { vpsname, ostype, hddsize, ramsize, ipaddr, imagetype: imageType(kind) };
      return { request: request(params), config_file };
    }
    const required = (name: string) => {
      const value = values[name];
      if (value === undefined) throw new UsageError(`-${name} is missing.`);
      return value;
    };
    if (nic.length === 0) throw new UsageError('-nic is missing.');
    const params = {
      vpsname: required('vpsid'),
      ostype: required('os'),
      ramsize: required('ram'),
      nics: nic.join('+'),
      ...(values['gw'] === undefined ? {} : { gateway: values['gw'] }),
      ...(values['dns'] === undefined ? {} : { dns: values['dns'] }),
      ...(values['disk-type'] === undefined ? {} : { imagetype: imageType(values['disk-type']) }),
    };
    return { request: request(params), config_file };
  },
};
