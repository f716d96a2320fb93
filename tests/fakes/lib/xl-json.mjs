// Configurations as xl prints them: `create -n`, `list -l`.

/** yajl's layout: four spaces, and an empty map is an empty line in braces. */
export function yajl(value, indent = '') {
  const deeper = `${indent}    `;
  if (Array.isArray(value)) {
    return `[\n${value.map((each) => deeper + yajl(each, deeper)).join(',\n')}\n${indent}]`;
  }
  if (value === null || typeof value !== 'object') return JSON.stringify(value);
  const entries = Object.entries(value).filter(([, each]) => each !== undefined);
  const lines = entries.map(([key, each]) => `${deeper}${JSON.stringify(key)}: ${yajl(each, deeper)}`);
  return `{\n${lines.join(',\n')}\n${indent}}`;
}

const cap = { sched: 'credit2', weight: 256, cap: 0 };

/** The configuration of a guest; `live`: as kept for a running domain, with what Xen filled in. */
export function configJson(spec, uuid, memory_mib, live) {
  const some = (each) => (each.length > 0 ? each : undefined);
  return {
    c_info: {
      type: spec.type,
      name: spec.name,
      domid: live ? 4294967295 : undefined,
      uuid,
      run_hotplug_scripts: 'True',
    },
    b_info: {
      max_vcpus: spec.max_vcpus,
      avail_vcpus: Array.from({ length: spec.vcpus }, (_, index) => index),
      max_memkb: spec.memory_mib * 1024,
      target_memkb: memory_mib * 1024,
      video_memkb: live ? 0 : undefined,
      sched_params: live ? cap : {},
      claim_mode: 'True',
      kernel: spec.kernel,
      cmdline: spec.cmdline || undefined,
      ramdisk: spec.ramdisk,
      [`type.${spec.type}`]: {},
      arch_arm: {},
      arch_x86: live ? { msr_relaxed: 'False' } : {},
    },
    disks: some(
      spec.disks.map((disk) => ({
        pdev_path: disk.path,
        vdev: disk.vdev,
        backend: disk.backendtype,
        format: disk.format,
        script: disk.script,
        readwrite: disk.mode === 'w' ? 1 : undefined,
        discard_enable: disk.discard === false ? 'False' : undefined,
        colo_restore_enable: live ? 'False' : undefined,
      })),
    ),
    nics: some(
      spec.nics.map((nic, devid) => ({
        devid,
        mac: nic.mac,
        bridge: nic.bridge,
        ifname: nic.vifname,
        nictype: live ? 'vif' : undefined,
      })),
    ),
    on_poweroff: spec.on_poweroff === 'destroy' ? undefined : spec.on_poweroff,
    on_reboot: spec.on_reboot ?? 'restart',
    on_crash: spec.on_crash === 'destroy' ? undefined : spec.on_crash,
    on_soft_reset: 'soft_reset',
  };
}

/** Domain-0's, of which Xen keeps less. */
export function dom0Json(host) {
  return {
    domid: 0,
    config: {
      c_info: { type: 'pv', name: 'Domain-0' },
      b_info: {
        max_memkb: host.dom0_mib * 1024,
        target_memkb: host.dom0_mib * 1024 - 1,
        sched_params: cap,
        'type.pv': {},
        arch_arm: {},
        arch_x86: {},
      },
    },
  };
}
