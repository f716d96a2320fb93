import package_json from '../../package.json' with { type: 'json' };

/** The package's version. */
export const VERSION: string = package_json.version;
