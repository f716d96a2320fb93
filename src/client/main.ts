import { VERSION } from '../core/version.ts';
import { AgentFault, createAgentClient } from './agent-client.ts';
import { CLIENT_USAGE, parseClientArguments, UsageError } from './arguments.ts';

const EXIT = { refused: 1, usage: 2, unreachable: 3 } as const;

async function main(): Promise<number> {
  if (process.argv.length === 2) {
    process.stderr.write(CLIENT_USAGE);
    return EXIT.usage;
  }
  const request = parseClientArguments(process.argv.slice(2), process.env);
  if (request === 'help') {
    process.stdout.write(CLIENT_USAGE);
    return 0;
  }
  if (request === 'version') {
    process.stdout.write(`dtc-xen-client ${VERSION}\n`);
    return 0;
  }
  const client = await createAgentClient(request);
  if (request.operation === '') {
    const lines = [...client.operations].map(([name, params]) => `${name} ${params.join(' ')}`.trimEnd());
    process.stdout.write(`${lines.sort().join('\n')}\n`);
    return 0;
  }
  const answer = await client.call(request.operation, request.args);
  process.stdout.write(`${JSON.stringify(answer, undefined, 2)}\n`);
  return 0;
}

try {
  process.exitCode = await main();
} catch (error) {
  const message = (error as Error).message;
  const [text, code] =
    error instanceof UsageError
      ? [`${message}\n\n${CLIENT_USAGE}`, EXIT.usage]
      : error instanceof AgentFault
        ? [`${error.code}: ${message}`, EXIT.refused]
        : [`The agent cannot be reached: ${message}`, EXIT.unreachable];
  process.stderr.write(`dtc-xen-client: ${text}\n`);
  process.exitCode = code;
}
