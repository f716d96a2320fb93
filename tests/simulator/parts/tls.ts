export const readTls = async () => ({});
