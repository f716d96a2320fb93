export { lastWords } from '../../../src/drivers/run.ts';
export { createRunner } from '../model-runner.ts';
