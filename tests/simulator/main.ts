// The program that is made of the real code and the model (bundle.ts): tells stories, and says in JSON what came of them.
import { heldLocks } from '../../src/core/held-locks.ts';
import { held } from './model-runner.ts';
import { simulate, type Wanted } from './simulate.ts';

held.locks = heldLocks;
const wanted = JSON.parse(process.argv[2] ?? '{}') as Wanted;
process.stdout.write(`${JSON.stringify(await simulate(wanted))}\n`);
