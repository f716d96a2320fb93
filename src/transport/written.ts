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
  const { socket } = response.req;
  let timer: NodeJS.Timeout | undefined;
  let over = false;
  let onClose: () => void = () => undefined;
  const done = new Promise<boolean>((resolve) => {
    onClose = () => resolve(false);
    response.once('finish', () => resolve(!socket.destroyed && !socket.errored));
    response.once('close', onClose);
    // One that stands behind another on its connection is told of neither where the connection is cut.
    socket.once('close', onClose);
    if (response.destroyed || socket.destroyed) resolve(false);
  }).finally(() => {
    over = true;
    socket.off('close', onClose);
    clearTimeout(timer);
  });
  return {
    done,
    limit(ms) {
      if (!over) timer = setTimeout(() => socket.destroy(), ms);
    },
  };
}
