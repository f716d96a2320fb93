// node run.mjs PROGRAM ARGS...: one call of a fake. `run.mjs --only-faults PROGRAM ARGS...` stands before a real program:
// exit 99 says that no fault was ordered, and the caller goes on to the real one.
import { basename } from 'node:path';
import { carryOut, takeFault } from './faults.mjs';
import { err, fakeRoot, NotKnown } from './store.mjs';

const GO_ON = 99;
const MODULES = {
  xl: './xl.mjs',
  lvs: './lvm-report.mjs',
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

const only_faults = process.argv[2] === '--only-faults';
const [program, ...args] = process.argv.slice(only_faults ? 3 : 2);

async function main() {
  const root = fakeRoot();
  const fault = await takeFault(root, [basename(program), ...args]);
  const work = async (how = {}) => {
    if (how.torn && program !== 'lvrename')
      throw new NotKnown(`where a ${program} can be torn is not part of the fake`);
    if (only_faults) return GO_ON;
    const module = await import(MODULES[program]);
    return module.main(root, program, args, how);
  };
  return fault ? carryOut(fault, work) : work();
}

try {
  process.exit(await main());
} catch (error) {
  err(`fake ${program}: ${error instanceof NotKnown ? error.message : error.stack}\n`);
  process.exit(error instanceof NotKnown ? 2 : 70);
}
