// One call of a fake: which program, which faults, and how it ends.
import { basename } from 'node:path';
import { carryOut, noteUnlessFaulty, takeFault } from './faults.mjs';
import { withSettings } from './lvm-settings.mjs';
import { err, NotKnown } from './store.mjs';

/** What a call ends with that stands before a real program, where no fault was ordered: go on to the real one. */
export const GO_ON = 99;
const MODULES = {
  xl: './xl.mjs',
  lvs: './lvm-report.mjs',
  lvmconfig: './lvm-filter.mjs',
  vgs: './lvm-report.mjs',
  lvcreate: './lvm.mjs',
  lvremove: './lvm.mjs',
  lvrename: './lvm.mjs',
  lvextend: './lvm.mjs',
  lvreduce: './lvm.mjs',
  lvchange: './lvm.mjs',
  blkdiscard: './blkdiscard.mjs',
  block: './block.mjs',
  systemctl: './systemctl.mjs',
  'xenstore-exists': './xenstore.mjs',
  'xenstore-read': './xenstore.mjs',
  'xenstore-write': './xenstore.mjs',
};

/** Programs that change nothing, whatever they are asked, and what of xl is so. */
const READERS = ['lvs', 'vgs', 'lvmconfig', 'systemctl', 'xenstore-exists', 'xenstore-read'];
const XL_READERS = ['list', 'info', 'vcpu-list', 'uptime', 'domid', 'domname'];

async function run(root, program, args, how) {
  const { main } = await import(MODULES[program]);
  if (!MODULES[program].startsWith('./lvm')) return main(root, program, args, how);
  return withSettings(root, program, args, () => main(root, program, args, how));
}

/** A program and its words: `--only-faults PROGRAM ARGS...` stands before a real one. */
function read(words) {
  const only_faults = words[0] === '--only-faults';
  const [program, ...args] = words.slice(only_faults ? 1 : 0);
  return { only_faults, program, args, argv: [basename(program), ...args] };
}

async function tried(program, work) {
  try {
    return await work();
  } catch (error) {
    err(`fake ${program}: ${error instanceof NotKnown ? error.message : error.stack}\n`);
    return error instanceof NotKnown ? 2 : 70;
  }
}

/** Does what a call asks for, or the fault that was ordered for it. Returns its exit code. */
export function call(root, words) {
  const { only_faults, program, args, argv } = read(words);
  return tried(program, async () => {
    const fault = await takeFault(root, argv);
    const work = async (how = {}) => {
      if (how.torn && program !== 'lvrename')
        throw new NotKnown(`where a ${program} can be torn is not part of the fake`);
      if (only_faults) return GO_ON;
      return run(root, program, args, how);
    };
    return fault ? carryOut(fault, work) : work();
  });
}

/** The same for a call that changes nothing and has no fault; undefined for another one, which nothing was done for. */
export async function answer(root, words) {
  const { only_faults, program, args, argv } = read(words);
  const reads =
    only_faults || READERS.includes(program) || (program === 'xl' && XL_READERS.includes(args[0]));
  if (!reads || !(await noteUnlessFaulty(root, argv))) return undefined;
  if (only_faults) return GO_ON;
  return tried(program, () => run(root, program, args));
}
