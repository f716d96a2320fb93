/** The console users, and how passwords are hashed: no part of stories. */
export const createAccounts = () => ({
  hashRootPassword: async () => '$6$hash',
  requireHomes: async () => undefined,
  revoke: async () => undefined,
  forget: async () => undefined,
});
