// xl list, vcpu-list, uptime.
import { getopt, XlError } from './getopt.mjs';
import { err, out, withState } from './store.mjs';
import { cpuSeconds, isRunning, reasonCode, stateLetters } from './world.mjs';
import { findDomain } from './xl.mjs';
import { configJson, dom0Json, yajl } from './xl-json.mjs';

const NO_UUID = '00000000-0000-0000-0000-000000000000';

/** Domain-0 beside the guests, in the shape of a row. */
const dom0 = (state, now) => ({
  id: 0,
  name: 'Domain-0',
  memory_mib: state.host.dom0_mib,
  vcpus: state.host.dom0_vcpus,
  letters: 'r-----',
  seconds: state.host.dom0_cpu_s + ((now - state.host.started_ms) / 1000) * 0.1,
  uuid: NO_UUID,
  made_ms: state.host.started_ms,
});

/** Not built yet, and without its memory. */
const isEmpty = ({ phase, populated }) => phase === 'building' && !populated;

const row = (domain, now) => ({
  id: domain.id,
  name: domain.name,
  memory_mib: isEmpty(domain) ? 0 : domain.memory_mib,
  vcpus: isEmpty(domain) ? 0 : domain.spec.vcpus,
  letters: stateLetters(domain, now),
  seconds: cpuSeconds(domain, now),
  uuid: domain.uuid,
  reason: reasonCode(domain),
  made_ms: domain.made_ms,
});

function choose(state, now, wanted) {
  if (wanted === undefined) {
    const guests = [...state.domains].sort((a, b) => a.id - b.id);
    return [dom0(state, now), ...guests.map((domain) => row(domain, now))];
  }
  const found = findDomain(state, wanted);
  return [found.id === 0 ? dom0(state, now) : row(found, now)];
}

function line(each, verbose) {
  const first = `${each.name.padEnd(40)} ${String(each.id).padStart(5)} ${String(each.memory_mib).padStart(5)} `;
  const second = `${String(each.vcpus).padStart(5)}     ${each.letters}  ${each.seconds.toFixed(1).padStart(8)}`;
  const more = verbose ? ` ${each.uuid} ${String(each.reason ?? '-').padStart(8)} ${'-'.padStart(16)}` : '';
  return `${first}${second}${more}\n`;
}

export async function list(root, args) {
  const { options, operands } = getopt('list', args, { taken: { l: 'long', v: 'verbose' }, untaken: 'Zcn' });
  if (operands.length > 1) throw new XlError("'xl list' requires at most 1 argument.\n\n", 2);
  return withState(root, (state, now) => {
    const wanted = operands[0];
    if (wanted !== undefined && /^[0-9]+$/.test(wanted)) {
      const id = Number(wanted);
      if (id !== 0 && !state.domains.some((domain) => domain.id === id)) {
        err(
          `libxl: error: libxl_domain.c:354:libxl_domain_info: Domain ${id}:Getting domain info: No such process\n`,
        );
        throw new XlError(`Error: Domain '${wanted}' does not exist.\n`, 1);
      }
    }
    const rows = choose(state, now, wanted);
    if (options.l) {
      const json = rows.map((each) => {
        const domain = state.domains.find((other) => other.id === each.id);
        if (!domain) return dom0Json(state.host);
        return { domid: domain.id, config: configJson(domain.spec, domain.uuid, domain.memory_mib, true) };
      });
      out(`${yajl(json)}\n\n`);
      return 0;
    }
    const more = options.v ? '   UUID                            Reason-Code\tSecurity Label' : '';
    out(`Name                                        ID   Mem VCPUs\tState\tTime(s)${more}\n`);
    for (const each of rows) out(line(each, options.v));
    return 0;
  });
}

function cpuRows(state, domain, now) {
  if (domain.id === 0) {
    const { seconds, vcpus } = dom0(state, now);
    return Array.from({ length: vcpus }, (_, index) => [index, index, 'r--', seconds / vcpus]);
  }
  const online = domain.spec.vcpus;
  const letters = isRunning(domain) ? stateLetters(domain, now).slice(0, 2).concat('-') : '---';
  return Array.from({ length: domain.spec.max_vcpus }, (_, index) =>
    index < online ? [index, index % 2, letters, cpuSeconds(domain, now) / online] : [index, '-', '--p', 0],
  );
}

export async function vcpu_list(root, args) {
  const { operands } = getopt('vcpu-list', args, {});
  return withState(root, (state, now) => {
    out('Name                                ID  VCPU   CPU State   Time(s) Affinity (Hard / Soft)\n');
    const wanted =
      operands.length > 0 ? operands : ['0', ...state.domains.map((domain) => String(domain.id))];
    for (const name of wanted) {
      const domain = findDomain(state, name);
      for (const [vcpu, cpu, letters, seconds] of cpuRows(state, domain, now)) {
        const place = [domain.id, vcpu]
          .map((each) => String(each).padStart(5))
          .concat(String(cpu).padStart(4));
        out(
          `${domain.name.padEnd(32)} ${place.join(' ')}   ${letters}  ${seconds.toFixed(1).padStart(8)}  all / all\n`,
        );
      }
    }
    return 0;
  });
}

function duration(ms) {
  const seconds = Math.floor(ms / 1000);
  const two = (value) => String(value).padStart(2, '0');
  const days = Math.floor(seconds / 86400);
  const clock = `${String(Math.floor(seconds / 3600) % 24).padStart(2)}:${two(Math.floor(seconds / 60) % 60)}:${two(seconds % 60)}`;
  if (days === 0) return clock;
  return `${days} day${days > 1 ? 's' : ''}, ${clock}`;
}

export async function uptime(root, args) {
  const { operands } = getopt('uptime', args, { untaken: 's' });
  return withState(root, (state, now) => {
    const wanted =
      operands.length > 0 ? operands : ['0', ...state.domains.map((domain) => String(domain.id))];
    const rows = wanted.map((name) => {
      const domain = findDomain(state, name);
      return domain.id === 0 ? dom0(state, now) : domain;
    });
    out(`${'Name'.padEnd(33)}   ID Uptime\n`);
    for (const each of rows) {
      out(`${each.name.padEnd(33)} ${String(each.id).padStart(4)} ${duration(now - each.made_ms)}\n`);
    }
    return 0;
  });
}
