/** The file in a folder of data that tells it from the empty one that is left where its file system is not mounted. */
export const STORE_MARK = '.dtc-xen-store';
