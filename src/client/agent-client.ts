import { Agent } from 'node:https';
import { BasicAuthSecurity, type Client, createClientAsync } from 'soap';

/** A refusal or failure that the agent told: the stable code and sentence of its fault (docs/operations.md, "Errors"). */
export class AgentFault extends Error {
  readonly code: string;
  constructor(code: string, message: string) {
    super(message);
    this.code = code;
  }
}

/** Where an agent is, and who calls it. */
export interface AgentClientOptions {
  readonly url: string;
  readonly user: string;
  readonly password: string;
  /** Certificate to trust, PEM. */
  readonly ca: string | undefined;
}

/** Calls an agent's operations over its WSDL. */
export interface AgentClient {
  /** Name -> parameter names in order. */
  readonly operations: ReadonlyMap<string, readonly string[]>;
  /** The answer's elements; throws {@link AgentFault} where the agent refused, else what the network said. */
  call(
    operation: string,
    args: readonly string[] | Readonly<Record<string, string>>,
  ): Promise<Record<string, unknown>>;
}

interface SoapError {
  root?: {
    Envelope?: { Body?: { Fault?: { faultstring?: string; detail?: { fault?: { code?: string } } } } };
  };
  response?: { status?: number };
}

function toFault(error: unknown): unknown {
  const { root, response } = error as SoapError;
  const fault = root?.Envelope?.Body?.Fault;
  if (fault) return new AgentFault(fault.detail?.fault?.code ?? 'internal', String(fault.faultstring));
  if (response?.status === 401)
    return new AgentFault('unauthorized', 'The agent does not know this user and password.');
  if (response?.status === 429)
    return new AgentFault('throttled', 'Too many wrong passwords came from here; wait.');
  return error;
}

function describeOperations(client: Client): Map<string, string[]> {
  const operations = new Map<string, string[]>();
  const services = client.describe() as Record<string, Record<string, Record<string, { input?: object }>>>;
  for (const port of Object.values(services).flatMap((service) => Object.values(service))) {
    for (const [name, { input }] of Object.entries(port)) {
      const names = Object.keys(input ?? {}).filter(
        (key) => !['targetNSAlias', 'targetNamespace'].includes(key),
      );
      operations.set(
        name,
        names.map((key) => key.replace(/\[\]$/, '')),
      );
    }
  }
  return operations;
}

/** Reads the agent's WSDL and makes a client of it. */
export async function createAgentClient({
  url,
  user,
  password,
  ca,
}: AgentClientOptions): Promise<AgentClient> {
  const httpsAgent = new Agent({ keepAlive: false, ...(ca === undefined ? {} : { ca }) });
  const client = await createClientAsync(`${url.split('?', 1)[0]}?wsdl`, {
    endpoint: url,
    wsdl_options: { httpsAgent },
  });
  client.setSecurity(new BasicAuthSecurity(user, password, { httpsAgent }));
  const operations = describeOperations(client);

  return {
    operations,
    async call(operation, args) {
      const names = operations.get(operation);
      if (!names)
        throw new AgentFault(
          'unknown_operation',
          `The agent has no operation ${operation}; --list shows them.`,
        );
      const named = Array.isArray(args)
        ? Object.fromEntries((args as string[]).map((value, i) => [names[i] ?? `parameter${i + 1}`, value]))
        : args;
      try {
        const [answer] = await client[`${operation}Async`](named);
        return (answer ?? {}) as Record<string, unknown>;
      } catch (error) {
        throw toFault(error);
      }
    },
  };
}
