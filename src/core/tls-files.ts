/** The private key, in the configuration's etc_dir; DTC-Xen's name for it. */
export const KEY_FILE = 'privkey.pem';

/** The certificate (and its chain): the first that exists. The second is DTC-Xen's name, which upgraded nodes have. */
export const CERTIFICATE_FILES = ['dtc-xen.cert', 'dtc-xen.cert.cert'] as const;
