// The agent dies at every single call that a reinstall or a rollback makes of a driver, before it and after it.
import { afterEach, expect, it } from 'vitest';
import { vpsOf } from '../plan-harness.ts';
import { Death, type DeathOrder, type Look, makeSystemsSite } from './site.ts';

const vps = vpsOf('01');
let site: ReturnType<typeof makeSystemsSite>;
afterEach(() => site.clean());

const whole = (root: string, old?: string): Look => ({
  roots: { 'xen01.img': `${root} root`, ...(old && { 'xen01.old.img': `${old} root` }) },
  config: `# ${root} config`,
  autostart: true,
  unfinished: false,
});

async function prepared(older: boolean): Promise<void> {
  site = makeSystemsSite();
  site.put(vps, 'old root');
  if (older) site.put(vps, 'older root', '.old');
  await site.configure(vps, '# old config');
}

/** What the job does with the systems; true where the new one was approved. */
async function reinstall(death?: DeathOrder) {
  const systems = site.systems(death ? { death } : {});
  let approved = false;
  let died = false;
  try {
    const choice = await systems.choose(vps, 'vbd');
    expect(choice.mode).toBe('swap');
    const { path } = await systems.begin(vps, 'vbd', choice);
    expect(path).toMatch(/xen01\.new\.img$/);
    site.put(vps, 'new root', '.new');
    const config = { text: '# new config', mode: 0o644, autostart: true };
    await systems.approve(vps, { type: 'vbd', config, job: 'a' });
    approved = true;
    await systems.settle(vps);
  } catch (error) {
    if (!(error instanceof Death)) throw error;
    died = true;
  }
  return { approved, died, calls: systems.calls() };
}

it.each([false, true])(
  'a reinstall (with a system before the old one: %s) loses nothing',
  async (older) => {
    await prepared(older);
    const { calls } = await reinstall();
    expect(site.look(vps)).toEqual(whole('new', 'old'));
    expect(calls).toBeGreaterThan(10);
    const ends = { old: 0, new: 0, lost: 0 };
    for (let at = 1; at <= calls; at += 1) {
      for (const when of ['before', 'after'] as const) {
        site.clean();
        await prepared(older);
        const { approved, died } = await reinstall({ at, when });
        expect(died).toBe(true);
        await site.systems().settle(vps);
        const end = JSON.stringify(site.look(vps));
        const is = (look: Look) => end === JSON.stringify(look);
        if (!approved && is(whole('old', older ? 'older' : undefined))) ends.old += 1;
        else if (approved && is(whole('new', 'old'))) ends.new += 1;
        else ends.lost += 1;
        expect(ends.lost, `death ${when} call ${at}: ${end}`).toBe(0);
      }
    }
    console.log(
      `died at ${2 * calls} instants of a reinstall: ${ends.lost} lost (${ends.old} old, ${ends.new} new)`,
    );
    expect(ends.new).toBeGreaterThan(10);
  },
  60_000,
);

it('a rollback loses nothing, and can be rolled back', async () => {
  const rollback = async (death?: DeathOrder) => {
    const systems = site.systems(death ? { death } : {});
    try {
      await systems.rollback(vps);
    } catch (error) {
      if (!(error instanceof Death)) throw error;
    }
    return systems.calls();
  };
  const reinstalled = async () => {
    await prepared(false);
    await reinstall();
  };
  await reinstalled();
  const calls = await rollback();
  expect(site.look(vps)).toEqual(whole('old', 'new'));
  await rollback();
  expect(site.look(vps)).toEqual(whole('new', 'old'));
  const ends = { before: 0, after: 0 };
  for (let at = 1; at <= calls; at += 1) {
    for (const when of ['before', 'after'] as const) {
      site.clean();
      await reinstalled();
      await rollback({ at, when });
      await site.systems().settle(vps);
      const end = site.look(vps);
      const back = end.config === '# old config';
      ends[back ? 'after' : 'before'] += 1;
      expect(end, `death ${when} call ${at}`).toEqual(back ? whole('old', 'new') : whole('new', 'old'));
    }
  }
  console.log(
    `died at ${2 * calls} instants of a rollback: 0 lost (${ends.before} before, ${ends.after} after)`,
  );
  expect(Math.min(ends.before, ends.after)).toBeGreaterThan(5);
}, 300_000);
