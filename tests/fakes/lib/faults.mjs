// Faults that a test ordered, and the record of what was called.
import { appendFileSync } from 'node:fs';
import { err, out, readJson, replaceFile, sleep, statePath, withLock } from './store.mjs';

const NONSENSE =
  'Segmentation fault \u0000\u0001 {"report": [ \u00e9\u00df%s%n\n\t-- \ufffd 18446744073709551615\n';

/** `xl shutdown xen01` matches `xl shutdown -w xen01`: the program, then the words in this order. */
export function matches(match, argv) {
  const words = match.split(/\s+/).filter(Boolean);
  let at = 0;
  for (const word of argv) if (word === words[at]) at += 1;
  return at === words.length && (words.length === 0 || words[0] === argv[0]);
}

const note = (root, argv) => appendFileSync(statePath(root, 'calls.log'), `${JSON.stringify(argv)}\n`);
const faultsPath = (root) => statePath(root, 'faults.json');
const faultFor = (faults, argv) => faults.find((each) => matches(each.match, argv) && each.times !== 0);

/** Notes the call where no fault fits it; false where one does, which is left for who takes it. */
export function noteUnlessFaulty(root, argv) {
  return withLock(root, () => {
    if (faultFor(readJson(faultsPath(root), []), argv)) return false;
    note(root, argv);
    return true;
  });
}

/** Notes the call, and takes the first fault that fits it (each `times` times, or always). */
export function takeFault(root, argv) {
  return withLock(root, () => {
    note(root, argv);
    const path = faultsPath(root);
    const faults = readJson(path, []);
    const fault = faultFor(faults, argv);
    if (fault?.times > 0) {
      fault.times -= 1;
      replaceFile(path, JSON.stringify(faults));
    }
    return fault;
  });
}

/** Does what a fault says. `work` is the real call; `work({ torn: true })` one that comes half way. */
export async function carryOut(fault, work) {
  switch (fault.mode) {
    case 'fail':
      out(fault.stdout ?? '');
      err(fault.stderr ?? '');
      return fault.exit ?? 1;
    case 'late': {
      await work();
      err(fault.stderr ?? '');
      return fault.exit ?? 1;
    }
    case 'slow':
      await sleep(fault.delay_ms ?? 1000);
      return work();
    case 'hang':
      out(fault.stdout ?? '');
      err(fault.stderr ?? '');
      setInterval(() => {}, 1 << 30);
      return new Promise(() => {});
    case 'nonsense':
      out(fault.stdout ?? NONSENSE);
      return fault.exit ?? 0;
    case 'torn':
      await work({ torn: true });
      process.kill(process.pid, 'SIGKILL');
      return sleep(1000);
    case 'killed':
      process.kill(process.pid, 'SIGKILL');
      return sleep(1000);
    default:
      throw new Error(`faults.json: no mode ${fault.mode}`);
  }
}
