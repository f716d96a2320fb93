const DEBIAN = { os: 'debian', system: { kind: 'debian', release: undefined }, appliance: undefined };

/** The one operating system of stories. */
export const createTemplates = () => ({ find: async () => DEBIAN, operatingSystems: async () => ['debian'] });
