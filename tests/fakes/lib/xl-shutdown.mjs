// xl shutdown, xl reboot: a request that the guest acknowledges, or does not.
import { getopt, XlError } from './getopt.mjs';
import { err, NotKnown, sleep, withState } from './store.mjs';
import { settle } from './world.mjs';
import { findDomain } from './xl.mjs';

const POLL_MS = 15;
const WORDS = { poweroff: ['Shutting down', 'shutdown'], reboot: ['Rebooting', 'reboot'] };

const byId = (state, id) => state.domains.find((domain) => domain.id === id);

async function until(root, look) {
  for (;;) {
    const answer = await withState(root, look);
    if (answer !== undefined) return answer;
    await sleep(POLL_MS);
  }
}

/** Asks one domain, and waits for its acknowledgement. What was asked stays asked where this process is killed. */
async function ask(root, id, kind) {
  const [doing, verb] = WORDS[kind];
  err(`${doing} domain ${id}\n`);
  const started_ms = Date.now();
  const asked = await withState(root, (state, now) => {
    if (id === 0) state.host.powered_off = kind;
    const domain = byId(state, id);
    if (domain?.phase !== 'up') return false;
    if (!domain.request?.acknowledged) domain.request = { kind, acknowledged: false };
    settle(state, now);
    return true;
  });
  if (id === 0) return;
  const acknowledged = await until(root, (state, now) => {
    const domain = byId(state, id);
    if (asked && (domain?.request?.acknowledged || domain?.phase !== 'up')) return true;
    if (now - started_ms < state.timing.acknowledge_ms) return undefined;
    if (domain) domain.request = null; // xl takes the request back
    return false;
  });
  if (acknowledged) return;
  throw new XlError(
    `libxl: error: libxl_domain.c:850:pvcontrol_cb: guest didn't acknowledge control request: -9\n${verb} failed (rc=-9)\n`,
    1,
  );
}

async function awaitEnd(root, id) {
  const end = await until(root, (state) => {
    const domain = byId(state, id);
    if (domain?.phase === 'off') return { poweroff: 0, reboot: 1, crash: 3 }[domain.off];
    return domain ? undefined : state.ended[id];
  });
  err(
    end === 'destroyed'
      ? `Domain ${id} has been destroyed.\n`
      : `Domain ${id} has been shut down, reason code ${end}\n`,
  );
}

async function run(root, args, command, kind) {
  const { options, operands } = getopt(command, args, { taken: { a: 'all', w: 'wait', F: '' } });
  if (!options.a && operands.length === 0)
    throw new NotKnown(`xl ${command} without a domain is not part of the fake`);
  if (operands.length > 1) throw new NotKnown(`xl ${command} of several domains is not part of the fake`);
  const ids = await withState(root, (state) =>
    options.a ? state.domains.map((domain) => domain.id) : [findDomain(state, operands[0]).id],
  );
  for (const id of ids) await ask(root, id, kind);
  if (!options.w) return 0;
  err(`Waiting for ${ids.length} domains\n`);
  for (const id of ids) await awaitEnd(root, id);
  return 0;
}

export const shutdown = (root, args) => run(root, args, 'shutdown', 'poweroff');
export const reboot = (root, args) => run(root, args, 'reboot', 'reboot');
