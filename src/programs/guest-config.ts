import { diskType, hvmRequest, ownSettings, readOldOptions } from './old-options.ts';
import { COMMON_OPTIONS } from './positional.ts';
import { type Program, UsageError } from './program.ts';

const USAGE = `Usage: dtc-xen_domU_gen_xen_conf -vpsid VPS -ram MB -nic IP[,NETMASK[,BROADCAST]]... [OPTION]...

Writes /etc/xen/xenNN of a stopped VPS (01 or xen01), and its autostart link, as an installation does at its end. It takes the
arguments of a template's program, as they are or as \${FW_PARAMS}. In a template's program it writes nothing: the agent writes
the configuration by itself, when the system is whole.

  -os NAME          xenhvm: a fully virtualized guest; netbsd: one with the BSD install kernel; any other: a Linux
  --disk-type lvm|vbd  where the VPS has disks of both kinds
  --kernel FILE     the kernel that this VPS boots, in the place of KERNELPATH
  --initrd FILE     its initial RAM disk, in the place of INITRDPATH
  --mac MAC         the VPS's MAC address, in the place of the one that it has for life
  --xenu_extra_parm TEXT  added to the kernel's parameters, in the place of XENU_EXTRA_PARM
  --xen-domu-hdd-dev-type T  what the guest calls its disks, in the place of XEN_DOMU_HDD_DEV_TYPE: xvd, sd or hd
  --lvm-name VG     the volume group of the disks: refused where that is another one
  --vnc-pass-file FILE  -os xenhvm: a screen, and its password from the first line of a file
  --vnc-pass PASSWORD  the same, as DTC-Xen had it: anybody on the node can see it as this begins; do not use it
  --boot-iso FILE   -os xenhvm: boot from this iso of the owner's
${COMMON_OPTIONS}`;

/** dtc-xen_domU_gen_xen_conf. */
export const guestConfigProgram: Program = {
  needs_arguments: true,
  usage: USAGE,
  parse(argv) {
    const options = readOldOptions(argv);
    const { config_file, help, nics, positionals, values, required } = options;
    if (help) return { request: 'help', config_file };
    // Out of FW_PARAMS the kernel's parameters, which stand last there, come as words.
    const parameters = values['xenu_extra_parm'];
    if (parameters === undefined && positionals.length > 0)
      throw new UsageError(`takes options alone: what is ${positionals[0]}?`);
    const used = ['vpsid', 'kernel', 'initrd', 'mac', 'xen-domu-hdd-dev-type'];
    const own = ownSettings({
      ...Object.fromEntries(Object.entries(values).filter(([name]) => used.includes(name))),
      ...(parameters !== undefined && { xenu_extra_parm: [parameters, ...positionals].join(' ') }),
    });
    if (nics.length === 0) throw new UsageError('-nic is missing.');
    const [vpsname, ramsize] = [required('vpsid'), required('ram')];
    const for_one = {
      is_installations: true,
      ...(own && { own }),
      ...(values['lvm-name'] !== undefined && { volume_group: values['lvm-name'] }),
    };
    const allipaddrs = nics.map((nic) => nic.split(',')[0]).join(' ');
    if (values['os'] === 'xenhvm') {
      const no_screen = { vpsname, ramsize, allipaddrs, howtoboot: 'hdd', vncpassword: 'no_vnc' };
      const asked = hvmRequest(options) ?? { operation: 'writeXenHVMconf', params: no_screen };
      return { request: { ...asked, ...for_one }, config_file };
    }
    if (values['os'] === 'netbsd') {
      const params = { vpsname, ramsize, kerneltype: 'install', allipaddrs };
      return { request: { operation: 'changeBSDkernel', params, ...for_one }, config_file };
    }
    const order = { vpsname, memory_mb: ramsize, nics: nics.join('+'), imagetype: diskType(values) };
    return { request: { configure: order, ...for_one }, config_file };
  },
};
