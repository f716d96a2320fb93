const HOST =
  /^(?:[A-Za-z0-9](?:[A-Za-z0-9-]{0,62})(?:\.[A-Za-z0-9-]{1,63}){0,10}\.?|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?$/;

/**
 * The address that a caller used, for the WSDL: what its Host header says where that is a host and nothing else, our own
 * name where it is not.
 */
export function addressUsed(host: string | undefined, own_host: string, path: string): string {
  return `https://${host !== undefined && HOST.test(host) ? host : own_host}${path}`;
}
