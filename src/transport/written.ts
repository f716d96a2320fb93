import type { ServerResponse } from 'node:http';

/**
 * Watches an answer being written. Start before the answer is known: a client may hang up while its call runs.
 *
 * `done` tells whether the answer was handed to the connection in full, and the connection was still good then.
 * `limit(ms)` cuts a client that does not read its answer.
 */
export function watchAnswer(response: ServerResponse): {
  readonly done: Promise<boolean>;
  limit(ms: number): void;
} {
  const { socket } = response;
  let timer: NodeJS.Timeout | undefined;
  const done = new Promise<boolean>((resolve) => {
    response.once('finish', () => resolve(!!socket && !socket.destroyed && !socket.errored));
    response.once('close', () => resolve(false));
    if (response.destroyed || !socket) resolve(false);
  }).finally(() => clearTimeout(timer));
  return {
    done,
    limit(ms) {
      timer = setTimeout(() => socket?.destroy(), ms);
    },
  };
}
