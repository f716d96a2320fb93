export const createConsoleLogs = () => ({ trim: async () => undefined, forget: async () => undefined });
