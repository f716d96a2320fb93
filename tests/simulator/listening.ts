import type { Dispatch } from '../../src/core/dispatch.ts';

/** Where the model of the transport says that the daemon takes calls. */
export const listening: { tell: (dispatch: Dispatch) => void } = { tell: () => undefined };
