/** The soap library's client: soap-client.ts URL CA-FILE; SOAP_USER and SOAP_PASSWORD in the environment, calls on stdin. */
import { readFileSync } from 'node:fs';
import { Agent } from 'node:https';
import { text } from 'node:stream/consumers';
import soap from 'soap';
import type { Call } from '../calls.ts';

const [url = '', ca = ''] = process.argv.slice(2);
const httpsAgent = new Agent({ ca: readFileSync(ca) });
const client = await soap.createClientAsync(`${url}?wsdl`, { wsdl_options: { httpsAgent } });
const { SOAP_USER = '', SOAP_PASSWORD = '' } = process.env;
client.setSecurity(new soap.BasicAuthSecurity(SOAP_USER, SOAP_PASSWORD, { httpsAgent }));

function tagged(value: unknown): unknown {
  if (typeof value === 'number') return { number: value };
  if (Array.isArray(value)) return value.map(tagged);
  if (typeof value === 'object' && value !== null) {
    return { dict: Object.fromEntries(Object.entries(value).map(([key, item]) => [key, tagged(item)])) };
  }
  return value;
}

interface SoapFailure extends Error {
  readonly response?: { readonly status: number };
  readonly root?: { readonly Envelope: { readonly Body: { readonly Fault?: Fault } } };
}
interface Fault {
  readonly faultcode: string;
  readonly faultstring: string;
  readonly detail?: { readonly fault: { readonly code: string } };
}

const tell = (operation: string, outcome: Record<string, unknown>) =>
  process.stdout.write(`${JSON.stringify({ operation, ...outcome })}\n`);

for (const { operation, params } of JSON.parse(await text(process.stdin)) as Call[]) {
  try {
    const [result] = await client[`${operation}Async`](Object.fromEntries(params));
    tell(operation, { result: tagged(result) });
  } catch (thrown) {
    const failure = thrown as SoapFailure;
    const fault = failure.root?.Envelope.Body.Fault;
    if (fault) {
      const code = fault.faultcode.replace(/^.*:/, '');
      tell(operation, {
        fault: { code, message: fault.faultstring, detail_code: fault.detail?.fault.code ?? null },
      });
    } else if (failure.response) tell(operation, { error: `HTTP ${failure.response.status}` });
    else throw thrown;
  }
}
