// The options of DTC-Xen's dtc_reinstall_os, which it handed on to its other programs.
import { parseArgs } from 'node:util';
import { DEFAULT_CONFIG } from '../config/load.ts';
import type { OwnKeys, OwnSettings } from '../core/own-settings.ts';
import { parseVpsId } from '../core/vps.ts';
import { imageType } from './positional.ts';
import { UsageError } from './program.ts';

/** DTC-Xen's long options with one dash, which getopt would take apart. */
const ONE_DASH = /^-(?:path|vpsid|ram|nic|pass|os|gw|dns)$/;
const ONE_VALUE = [
  ...['path', 'vpsid', 'ram', 'pass', 'pass-file', 'os', 'gw', 'dns', 'disk-type', 'virt-type', 'lvm-name'],
  ...['kernel', 'initrd', 'kernel-release', 'kmod-path', 'xen-domu-hdd-dev-type', 'mac', 'xenu_extra_parm'],
  ...['node-fqdn', 'vps-fqdn', 'vps-domain', 'vnc-pass', 'vnc-pass-file', 'boot-iso'],
];

const ABSOLUTE = /^\/[^\0\n]*$/;
const HOST_NAME =
  /^(?=.{1,253}$)[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$/;
const MAC = /^([0-9a-f]{2}:){5}[0-9a-f]{2}$/;

/** A command line of these options, taken apart. */
export interface OldOptions {
  readonly config_file: string;
  readonly nics: readonly string[];
  readonly verbose: boolean;
  readonly help: boolean;
  readonly positionals: readonly string[];
  readonly values: Readonly<Record<string, string>>;
  /** The value of an option; throws {@link UsageError} where it is missing. */
  required(name: string): string;
}

/** Takes a command line apart. Throws {@link UsageError}. */
export function readOldOptions(argv: readonly string[]): OldOptions {
  const single: Record<string, { type: 'string' }> = Object.fromEntries(
    ONE_VALUE.map((name) => [name, { type: 'string' }]),
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
    const given = rest as Record<string, string>;
    if (!['xen', undefined].includes(given['virt-type'])) throw new UsageError('--virt-type must be xen.');
    return {
      config_file: config,
      ...{ nics: nic, verbose, help, positionals, values: given },
      required(name) {
        const value = given[name];
        if (value === undefined) throw new UsageError(`-${name} is missing.`);
        return value;
      },
    };
  } catch (error) {
    if (error instanceof UsageError) throw error;
    throw new UsageError((error as Error).message, { cause: error });
  }
}

/** How an option is read into a key of the configuration. */
interface OwnOption {
  readonly key: keyof OwnKeys;
  readonly pattern: RegExp;
  readonly must: string;
}

const path = { pattern: ABSOLUTE, must: 'must be an absolute path' };
const OWN_OPTIONS: Readonly<Record<string, OwnOption>> = {
  kernel: { key: 'KERNELPATH', ...path },
  initrd: { key: 'INITRDPATH', ...path },
  'kmod-path': { key: 'KMOD_PATH', ...path },
  'kernel-release': {
    ...{ key: 'KERNEL_RELEASE', pattern: /^[A-Za-z0-9][A-Za-z0-9._+~-]*$/ },
    must: "must be a kernel's release, as uname -r prints it",
  },
  'xen-domu-hdd-dev-type': {
    ...{ key: 'XEN_DOMU_HDD_DEV_TYPE', pattern: /^(?:xvd|sd|hd)a?1?$/ },
    must: 'must be xvd, sd or hd',
  },
  'node-fqdn': { key: 'node_name', pattern: HOST_NAME, must: 'must be a host name' },
  xenu_extra_parm: { key: 'XENU_EXTRA_PARM', pattern: /^[\x20-\x7e]*$/, must: 'must be one line' },
};

/** The value of an option where it is given, checked. Throws {@link UsageError}. */
function checked(values: OldOptions['values'], name: string, pattern: RegExp, must: string) {
  const value = values[name];
  if (value === undefined || pattern.test(value)) return value;
  throw new UsageError(`--${name} ${must}.`);
}

/**
 * What the options say for this VPS alone; undefined where that is nothing. `--lvm-name` is another matter: it changes nothing.
 *
 * @throws UsageError
 */
export function ownSettings(
  values: OldOptions['values'],
  vpsname = values['vpsid'] ?? '',
): OwnSettings | undefined {
  const config: Record<string, string> = {};
  for (const [name, { key, pattern, must }] of Object.entries(OWN_OPTIONS)) {
    const value = checked(values, name, pattern, must);
    if (value !== undefined)
      config[key] = key === 'XEN_DOMU_HDD_DEV_TYPE' ? value.replace(/a?1?$/, '') : value;
  }
  const mac = checked(
    { mac: values['mac']?.toLowerCase() ?? '' },
    'mac',
    new RegExp(`${MAC.source}|^$`),
    'must be an address such as 00:16:3e:01:02:03',
  );
  if (Number.parseInt(mac?.slice(0, 2) || '0', 16) % 2 !== 0)
    throw new UsageError('--mac must not be a multicast address: its first byte must be even.');
  const fqdn = checked(values, 'vps-fqdn', HOST_NAME, 'must be a host name');
  const domain = checked(values, 'vps-domain', HOST_NAME, 'must be a host name');
  const vps = parseVpsId(vpsname);
  if (!vps || (Object.keys(config).length === 0 && !mac && !fqdn && !domain)) return undefined;
  return { vps, config, ...(mac && { mac }), ...(fqdn && { fqdn }), ...(domain && { domain }) };
}

/** How the guest's screen and its first disk are asked for, as parameters of writeXenHVMconf; nothing where they are not. */
export function hvmRequest({ values, nics }: OldOptions) {
  const { 'vnc-pass': given, 'vnc-pass-file': file, 'boot-iso': iso } = values;
  if (given === undefined && file === undefined && iso === undefined) return undefined;
  const has_screen = given !== undefined || file !== undefined;
  return {
    operation: 'writeXenHVMconf',
    params: {
      vpsname: values['vpsid'] ?? '',
      ramsize: values['ram'] ?? '',
      allipaddrs: nics.map((nic) => nic.split(',')[0]).join(' '),
      howtoboot: iso ?? 'hdd',
      ...(has_screen ? {} : { vncpassword: 'no_vnc' }),
    },
    ...(has_screen && { secret: { param: 'vncpassword', prompt: "The screen's password", given, file } }),
  };
}

/** The kind of disks that was asked for. */
export const diskType = (values: OldOptions['values']) =>
  values['disk-type'] === undefined ? undefined : imageType(values['disk-type']);
