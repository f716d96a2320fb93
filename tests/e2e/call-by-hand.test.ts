// dtc-xen-agent call: values by their places, or each by its name, as dtc-xen-client takes them.
import { spawnSync } from 'node:child_process';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { BUNDLE } from '../daemon.ts';
import { type Site, startSite } from '../site.ts';

let site: Site;
beforeAll(async () => {
  site = await startSite();
});
afterAll(() => site.stop());

function call(args: readonly string[], input = '') {
  const words = [BUNDLE, '--config', site.daemon().config_file, 'call', ...args];
  const { status, stdout, stderr } = spawnSync(process.execPath, words, { input, encoding: 'utf8' });
  return { status, stdout, stderr };
}

it('takes values in their order, and by their names in any', () => {
  expect(call(['setupLVMDisks', 'xen01', '64', '16', 'lvm'])).toMatchObject({ status: 0, stderr: '' });
  const named = ['imagetype=lvm', 'swapsize=16', 'vpsname=xen02', 'hddsize=64'];
  expect(call(['setupLVMDisks', ...named])).toMatchObject({ status: 0, stderr: '' });
  expect(call(['killVPS', 'vpsname=xen02'])).toMatchObject({ status: 0, stderr: '' });
});

it('takes a password that looks like a pair for a password, also from standard input', () => {
  expect(call(['changeVPSsoapPassword', 'xen01', 'pass=word'])).toMatchObject({ status: 0, stderr: '' });
  expect(call(['changeVPSsoapPassword', 'vpsname=xen01', 'password=-'], 'a=b\n')).toMatchObject({
    status: 0,
    stderr: '',
  });
});

it('says what a name is that the operation has not', () => {
  expect(call(['killVPS', 'vpsname=xen01', 'kind=lvm'])).toMatchObject({ status: 1 });
});
