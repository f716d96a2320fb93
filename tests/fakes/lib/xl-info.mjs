// xl info.
import { getopt } from './getopt.mjs';
import { out, withState } from './store.mjs';
import { freeMemory_mib } from './world.mjs';

const fields = (state) => ({
  host: state.host.name,
  release: '6.12.107+deb13-amd64',
  version: '#1 SMP PREEMPT_DYNAMIC Debian 6.12.107-1 (2026-08-29)',
  machine: 'x86_64',
  nr_cpus: state.host.dom0_vcpus,
  max_cpu_id: state.host.dom0_vcpus - 1,
  nr_nodes: 1,
  cores_per_socket: state.host.dom0_vcpus,
  threads_per_core: 1,
  cpu_mhz: '2599.999',
  hw_caps: '1fcbf3fd:f6d8320b:ec500800:00000077:00000005:01884329:8001020c:00000000',
  virt_caps: 'pv hvm hap gnttab-v1 gnttab-v2',
  total_memory: state.host.memory_mib - 1,
  free_memory: freeMemory_mib(state),
  sharing_freed_memory: 0,
  sharing_used_memory: 0,
  outstanding_claims: 0,
  free_cpus: 0,
  xen_major: 4,
  xen_minor: 20,
  xen_extra: '.4-pre',
  xen_version: '4.20.4-pre',
  xen_caps: 'xen-3.0-x86_64 hvm-3.0-x86_32 hvm-3.0-x86_32p hvm-3.0-x86_64 ',
  xen_scheduler: 'credit2',
  xen_pagesize: 4096,
  platform_params: 'virt_start=0xffff800000000000',
  xen_changeset: '',
  xen_commandline: `dom0_mem=${state.host.dom0_mib}M,max:${state.host.dom0_mib}M dom0_max_vcpus=${state.host.dom0_vcpus} com1=115200,8n1 console=com1 loglvl=info guest_loglvl=warning noreboot`,
  cc_compiler: 'x86_64-linux-gnu-gcc (Debian 14.2.0-19) 14.2.0',
  cc_compile_by: 'pkg-xen-devel',
  cc_compile_domain: 'lists.alioth.debian.org',
  cc_compile_date: 'Fri Jul 31 21:59:26 UTC 2026',
  build_id: 'ea92b67a6c7ec0dc9541bc73daef97756b70e672',
  xend_config_format: 4,
});

export async function info(root, args) {
  getopt('info', args, { untaken: 'n' });
  return withState(root, (state) => {
    for (const [key, value] of Object.entries(fields(state))) out(`${key.padEnd(22)} : ${value}\n`);
    return 0;
  });
}
