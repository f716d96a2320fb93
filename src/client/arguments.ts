import { readFileSync } from 'node:fs';
import { parseArgs } from 'node:util';

/** What dtc-xen-client was asked to do. */
export interface ClientRequest {
  /** Without user and password. */
  readonly url: string;
  readonly operation: string;
  /** Positional values, or name -> value; never both. */
  readonly args: readonly string[] | Readonly<Record<string, string>>;
  readonly user: string;
  readonly password: string;
  /** Certificate to trust, PEM; undefined: the system's. */
  readonly ca: string | undefined;
}

/** The help text of dtc-xen-client. */
export const CLIENT_USAGE = `Usage: dtc-xen-client [OPTION]... URL OPERATION [ARGUMENT]...
       dtc-xen-client [OPTION]... URL --list

Calls an operation of a dtc-xen agent and prints its answer as JSON. Arguments are values in the operation's order, or
name=value pairs. The password is read from the environment (DTC_XEN_PASSWORD) or a file; in the URL (https://USER:PASSWORD@...),
as DTC-Xen's client had it, everybody on this machine can see it.

  --user NAME           SOAP user (default: DTC_XEN_USER, else dtc-xen)
  --password-file FILE  file whose first line is the password
  --ca FILE             certificate to trust, such as a copy of the node's /etc/dtc-xen/dtc-xen.cert
  --list                print the operations and their parameters
  --help                print this
  --version             print the version

Exit status: 0 done, 1 the agent refused or failed, 2 wrong usage, 3 the agent cannot be reached.
`;

/** A command line that cannot be understood; the message says what is wrong with it. */
export class UsageError extends Error {}

function password(file: string | undefined, env: NodeJS.ProcessEnv): string {
  const found = file === undefined ? env['DTC_XEN_PASSWORD'] : readFileSync(file, 'utf8').split('\n')[0];
  if (!found)
    throw new UsageError('there is no password: set DTC_XEN_PASSWORD, or give --password-file FILE.');
  return found;
}

function operationArguments(values: readonly string[]): ClientRequest['args'] {
  const pairs = values.map((value) => /^([a-z_]+)=(.*)$/s.exec(value));
  if (!pairs.every((pair) => pair !== null)) return values;
  return Object.fromEntries(pairs.map(([, name = '', value = '']) => [name, value]));
}

/**
 * Reads dtc-xen-client's command line.
 *
 * @returns the request, or `help` or `version` where that was asked for; operation '' stands for --list
 * @throws UsageError
 */
export function parseClientArguments(
  argv: readonly string[],
  env: NodeJS.ProcessEnv,
): ClientRequest | 'help' | 'version' {
  let parsed: ReturnType<typeof parse>;
  try {
    parsed = parse(argv);
  } catch (error) {
    throw new UsageError((error as Error).message, { cause: error });
  }
  const { values, positionals } = parsed;
  if (values.help) return 'help';
  if (values.version) return 'version';
  const [url, operation, ...args] = positionals;
  if (!url || !URL.canParse(url)) throw new UsageError('the first argument must be the URL of an agent.');
  const place = new URL(url);
  const [url_user, url_password] = [place.username, place.password].map(decodeURIComponent);
  place.username = place.password = '';
  if (!operation && !values.list) throw new UsageError('there is no operation; --list shows them.');
  return {
    url: place.href,
    operation: values.list ? '' : (operation ?? ''),
    args: operationArguments(args),
    user: values.user ?? (url_user || (env['DTC_XEN_USER'] ?? 'dtc-xen')),
    password: values.list ? '' : url_password || password(values['password-file'], env),
    ca: values.ca === undefined ? undefined : readFileSync(values.ca, 'utf8'),
  };
}

function parse(argv: readonly string[]) {
  return parseArgs({
    args: [...argv],
    allowPositionals: true,
    options: {
      user: { type: 'string' },
      'password-file': { type: 'string' },
      ca: { type: 'string' },
      list: { type: 'boolean' },
      help: { type: 'boolean' },
      version: { type: 'boolean' },
    },
  });
}
