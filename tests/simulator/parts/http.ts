import type { Dispatch } from '../../../src/core/dispatch.ts';
import { listening } from '../listening.ts';

/** The transport: calls come from the story. */
export function createHttpServer({ dispatch }: { dispatch: Dispatch }) {
  return {
    async listen() {
      listening.tell(dispatch);
      return { address: '::', port: 8089 };
    },
    reload: async () => true,
    healthy: async () => true,
    close: async () => undefined,
  };
}
