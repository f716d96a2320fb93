// Plays the scenario with one client, and holds every line of it against what that client must have read.
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { LogLine } from '../daemon.ts';
import type { Line } from './calls.ts';
import { type Client, type Endpoint, runClient, type Tools } from './clients.ts';
import { ADMIN_STEPS, type Facts, OWNER, OWNER_STEPS, type Refusal, type Step } from './scenario.ts';
import { answerAsRead, asRead } from './values.ts';

/** Where a conversation is held. */
export interface Stage {
  readonly endpoint: Endpoint & { readonly user: string; readonly password: string };
  readonly facts: Facts;
  /** What the daemon has logged. */
  logs(): readonly LogLine[];
  /** Puts a sample into the spool; the function returned tells whether it is still there. */
  addSample(): Promise<() => boolean>;
  close(): Promise<void>;
}

const callOf = (client: Client, { call, modern_params }: Step) =>
  client.dialect === 'modern' && modern_params ? { ...call, params: modern_params } : call;

function refusalAsRead({ code, message, legacy }: Refusal, client: Client): Omit<Line, 'operation'> {
  if (client.dialect === 'legacy' && legacy === 'denied') return { result: 'NOTOK' };
  if (client.dialect === 'legacy' && legacy === 'notok') {
    const source = message.source.replace(/^\^/, '');
    return { result: expect.stringMatching(new RegExp(`^NOTOK - .*${source}`)) };
  }
  const told = { code: client.soap12 ? 'Sender' : 'Client', message: expect.stringMatching(message) };
  return { fault: { ...told, detail_code: code } };
}

function expectedLine(step: Step, client: Client, facts: Facts): Line {
  const { operation } = step.call;
  const answer = step.answer(facts);
  if ('message' in answer) return { operation, ...refusalAsRead(answer, client) };
  const result =
    client.dialect === 'legacy'
      ? asRead(answer.legacy, client.reading)
      : answerAsRead(answer.modern, client.reading);
  return { operation, result };
}

/** Declares the tests of one client; `open` gives it a stage of its own, `tools` what was built for it. */
export function describeClient(client: Client, open: () => Promise<Stage>, tools: () => Tools): void {
  describe(client.name, () => {
    let stage: Stage;
    const admin = ADMIN_STEPS.filter((step) => !step.without_wsdl || client.without_wsdl);
    const lines = { admin: [] as Line[], owner: [] as Line[] };
    const run = (login: { user: string; password: string }, steps: readonly Step[]) =>
      runClient(
        client,
        stage.endpoint,
        tools(),
        login,
        steps.map((step) => callOf(client, step)),
      );

    beforeAll(async () => {
      stage = await open();
      lines.admin = await run(stage.endpoint, admin);
      lines.owner = await run(OWNER, OWNER_STEPS);
    });
    afterAll(() => stage?.close());

    it('calls at least ten operations', () => {
      const answered = lines.admin.filter((line) => 'result' in line).map(({ operation }) => operation);
      expect(new Set(answered).size).toBeGreaterThanOrEqual(10);
    });

    it.each(admin.map((step, at) => [step.title, step, at] as const))('%s', (_title, step, at) => {
      expect(lines.admin[at]).toEqual(expectedLine(step, client, stage.facts));
    });

    it.each(OWNER_STEPS.map((step, at) => [step.title, step, at] as const))(
      'as an owner: %s',
      (_title, step, at) => {
        expect(lines.owner[at]).toEqual(expectedLine(step, client, stage.facts));
      },
    );

    it('is told that the password is wrong', async () => {
      const login = { user: stage.endpoint.user, password: 'wrong' };
      const [line] = await run(login, ADMIN_STEPS.slice(0, 1));
      expect(line).toEqual({ operation: 'testVPSServer', error: client.unauthorized });
    });

    it('has its samples delivered by what it does anyway, so that none comes twice', async () => {
      const isThere = await stage.addSample();
      const call = { operation: 'getCollectedPerformanceData', params: [['count', 0]] } as const;
      const [line] = await runClient(client, stage.endpoint, tools(), stage.endpoint, [call]);
      const ended = performance.now();
      expect(JSON.stringify(line)).toContain('xen05');
      await expect.poll(isThere, { timeout: 90_000, interval: 10 }).toBe(false);
      process.stdout.write(
        `${client.name}: delivered ${Math.round(performance.now() - ended)} ms after its end\n`,
      );
    });

    it('leaves neither an error nor a password in the log', () => {
      const logs = stage.logs();
      expect(logs.filter(({ level }) => level === 'error' || level === 'fatal')).toEqual([]);
      const text = JSON.stringify(logs);
      expect(text).toContain('changeVPSsoapPassword');
      for (const secret of [OWNER.password, stage.endpoint.password]) {
        expect(text).not.toContain(JSON.stringify(secret).slice(1, -1));
      }
    });
  });
}
