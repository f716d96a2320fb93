// node run.mjs PROGRAM ARGS...: one call of a fake. `run.mjs --only-faults PROGRAM ARGS...` stands before a real program.
import { call } from './call.mjs';
import { fakeRoot } from './store.mjs';

process.exit(await call(fakeRoot(), process.argv.slice(2)));
