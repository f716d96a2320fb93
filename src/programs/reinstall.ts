import { diskType, hvmRequest, ownSettings, readOldOptions } from './old-options.ts';
import { COMMON_OPTIONS, imageType } from './positional.ts';
import { type OperationRequest, type Program, UsageError } from './program.ts';

const USAGE = `Usage: dtc_reinstall_os [-v] -vpsid VPS -ram MB -nic IP[,NETMASK[,BROADCAST]]... -os NAME
                        [-gw IP] [-dns IP[,IP]] [--disk-type lvm|vbd] [--pass-file FILE] [OPTION]...
       dtc_reinstall_os [-v] VPS HDD_MB RAM_MB 'IP...' NAME [lvm|vbd] [OPTION]...

Installs an operating system onto the disks of a stopped VPS (01 or xen01), as reinstallVPSos, and waits for the end. Where it
is interrupted, the installation goes on. The root password is the first line of standard input.

  -v                print the installation's log
  --pass-file FILE  read the root password from the first line of a file
  -pass PASSWORD    the root password, as DTC-Xen had it: anybody on the node can see it as this begins; do not use it
  --kernel FILE     the kernel that this VPS boots, in the place of KERNELPATH
  --initrd FILE     its initial RAM disk, in the place of INITRDPATH
  --kernel-release R  its release, in the place of KERNEL_RELEASE
  --kmod-path DIR   its modules, in the place of KMOD_PATH
  --mac MAC         the VPS's MAC address, in the place of the one that it has for life
  --vps-fqdn NAME   the guest's whole name, in the place of mx.xenNN and the node's name
  --vps-domain NAME  the guest's domain, for templates
  --node-fqdn NAME  the node's name, in the place of node_name
  --xen-domu-hdd-dev-type T  what the guest calls its disks, in the place of XEN_DOMU_HDD_DEV_TYPE: xvd, sd or hd
  --lvm-name VG     the volume group of the disks: refused where that is another one
  --virt-type xen   the only kind that there is
  --vnc-pass-file FILE  -os xenhvm: a screen, and its password from the first line of a file
  --vnc-pass PASSWORD  the same, as DTC-Xen had it: anybody on the node can see it as this begins; do not use it
  --boot-iso FILE   -os xenhvm: boot from this iso of the owner's
${COMMON_OPTIONS}`;

/** dtc_reinstall_os, with the options of DTC-Xen 0.5 and the arguments of the versions before. */
export const reinstallProgram: Program = {
  usage: USAGE,
  needs_arguments: true,
  parse(argv) {
    const options = readOldOptions(argv);
    const { config_file, nics, verbose, help, values, positionals, required } = options;
    if (help) return { request: 'help', config_file };
    const own = ownSettings(values, positionals[0]);
    const hvm = hvmRequest(options);
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
      ...(own && { own }),
      ...(values['lvm-name'] !== undefined && { volume_group: values['lvm-name'] }),
    });

    if (positionals.length > 0) {
      const [vpsname = '', hddsize = '', ramsize = '', ipaddr = '', ostype = '', kind] = positionals;
      if (positionals.length < 5 || positionals.length > 6 || values['vpsid'] !== undefined)
        throw new UsageError('takes options, or 5 or 6 arguments.');
      const params = { vpsname, ostype, hddsize, ramsize, ipaddr, imagetype: imageType(kind) };
      return { request: request(params), config_file };
    }
    if (nics.length === 0) throw new UsageError('-nic is missing.');
    const imagetype = diskType(values);
    const params = {
      vpsname: required('vpsid'),
      ostype: required('os'),
      ramsize: required('ram'),
      nics: nics.join('+'),
      ...(values['gw'] === undefined ? {} : { gateway: values['gw'] }),
      ...(values['dns'] === undefined ? {} : { dns: values['dns'] }),
      ...(imagetype === undefined ? {} : { imagetype }),
    };
    // With any other system DTC-Xen took these options, too, and did nothing with them.
    const screen = hvm && params.ostype === 'xenhvm' ? { afterwards: hvm } : {};
    return { request: { ...request(params), ...screen }, config_file };
  },
};
