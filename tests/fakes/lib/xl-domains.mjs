// xl domid, domname, pause, unpause, destroy, console.
import { getopt, XlError } from './getopt.mjs';
import { err, NotKnown, out, sleep, withState } from './store.mjs';
import { removeDomain, updateClock } from './world.mjs';
import { findDomain } from './xl.mjs';
import { hasScript, runScripts } from './xl-hotplug.mjs';

export async function domid(root, args) {
  const { operands } = getopt('domid', args, { operands: 1 });
  return withState(root, (state) => {
    const domain = [{ id: 0, name: 'Domain-0' }, ...state.domains].find((each) => each.name === operands[0]);
    if (!domain) {
      throw new XlError(
        `Can't get domid of domain name '${operands[0]}', maybe this domain does not exist.\n`,
        1,
      );
    }
    out(`${domain.id}\n`);
    return 0;
  });
}

export async function domname(root, args) {
  const { operands } = getopt('domname', args, { operands: 1 });
  if (!/^[0-9]+$/.test(operands[0]))
    throw new NotKnown('xl domname without a number is not part of the fake');
  return withState(root, (state) => {
    const domain = [{ id: 0, name: 'Domain-0' }, ...state.domains].find(
      (each) => each.id === Number(operands[0]),
    );
    if (!domain) {
      throw new XlError(
        `Can't get domain name of domain id '${operands[0]}', maybe this domain does not exist.\n`,
        1,
      );
    }
    out(`${domain.name}\n`);
    return 0;
  });
}

function guest(state, name, command) {
  const domain = findDomain(state, name);
  if (domain.id === 0) throw new NotKnown(`xl ${command} Domain-0 is not part of the fake`);
  return domain;
}

export async function pause(root, args) {
  const { operands } = getopt('pause', args, { operands: 1 });
  return withState(root, (state, now) => {
    const domain = guest(state, operands[0], 'pause');
    domain.pauses += 1;
    updateClock(state, domain, now);
    return 0;
  });
}

export async function unpause(root, args) {
  const { operands } = getopt('unpause', args, { operands: 1 });
  return withState(root, (state, now) => {
    const domain = guest(state, operands[0], 'unpause');
    if (domain.pauses === 0) {
      err(
        `libxl: error: libxl_domain.c:684:domain_unpause_done: Domain ${domain.id}:Unpausing domain: Invalid argument\n`,
      );
      return 0;
    }
    domain.pauses -= 1;
    updateClock(state, domain, now);
    return 0;
  });
}

/** What libxl says when another xl is taking the same domain down already. */
function alreadyGoing(domain) {
  const { id } = domain;
  const disks = domain.disks.map(
    () =>
      `libxl: error: libxl_exec.c:117:libxl_report_child_exitstatus: /etc/xen/scripts/block remove [${process.pid}] exited with error status 1
libxl: error: libxl_device.c:1351:device_hotplug_child_death_cb: script: /etc/xen/scripts/block failed; error detected.
`,
  );
  const nics = domain.nics.map(
    (_, devid) =>
      `libxl: error: libxl_linux.c:119:libxl__hotplug_nic: Domain ${id}:unable to read script from /local/domain/0/backend/vif/${id}/${devid}: No such file or directory
libxl: error: libxl_device.c:1275:device_hotplug: Domain ${id}:unable to get args/env to execute hotplug script for device /local/domain/0/backend/vif/${id}/${devid}
`,
  );
  return new XlError(
    `${disks.join('')}${nics.join('')}libxl: error: libxl_domain.c:1526:devices_destroy_cb: Domain ${id}:libxl__devices_destroy failed
libxl: error: libxl_domain.c:354:libxl_domain_info: Domain ${id}:Getting domain info: No such process
libxl: error: libxl_dom.c:1244:libxl__userdata_path: unable to find domain info for domain ${id}: No such process
libxl: error: libxl_domain.c:1133:domain_destroy_callback: Domain ${id}:Unable to destroy guest
libxl: error: libxl_domain.c:1060:domain_destroy_cb: Domain ${id}:Destruction of domain failed
destroy failed (rc=-15)
`,
    1,
  );
}

export async function destroy(root, args) {
  const { operands } = getopt('destroy', args, { taken: { f: '' }, operands: 1 });
  const going = await withState(root, (state, now) => {
    const domain = findDomain(state, operands[0]);
    if (domain.id === 0) {
      throw new XlError(
        'Not destroying domain 0; use -f to force.\nThis can only be done when using a disaggregated hardware domain and toolstack.\n\n',
        1,
      );
    }
    const too_late = domain.destroying || (domain.ends_ms !== null && domain.xl in state.xls);
    if (!too_late) {
      domain.destroying = true;
      updateClock(state, domain, now);
    }
    return { domain, too_late, ...state.timing };
  });
  if (!going.too_late && going.domain.disks.some(hasScript)) {
    err(await runScripts(root, going.domain, 'remove', going.script_ms));
  }
  await sleep(going.destroy_ms);
  if (going.too_late) throw alreadyGoing(going.domain);
  return withState(root, (state) => {
    const domain = state.domains.find((each) => each.id === going.domain.id);
    if (domain) removeDomain(state, domain, 'destroyed');
    return 0;
  });
}

/** A guest's console: the guest's own text, and then it waits for input that never comes. */
export function showConsole(name) {
  out(`\r\nDebian GNU/Linux 13 ${name} hvc0\r\n\r\n${name} login: `);
  setInterval(() => {}, 1 << 30);
  return new Promise(() => {});
}

export async function console(root, args) {
  const { operands } = getopt('console', args, { taken: { 't:': '', 'n:': '' }, operands: 1 });
  const domain = await withState(root, (state) => guest(state, operands[0], 'console'));
  return showConsole(domain.name);
}
