import type { Operation } from './operation.ts';

/** The operations by name. */
export type Registry = ReadonlyMap<string, Operation>;

/**
 * Collects the declared operations.
 *
 * @throws Error where two have the same name
 */
export function createRegistry(operations: readonly Operation[]): Registry {
  const registry = new Map<string, Operation>();
  for (const operation of operations) {
    if (registry.has(operation.name)) throw new Error(`operation ${operation.name} is declared twice`);
    registry.set(operation.name, operation);
  }
  return registry;
}
