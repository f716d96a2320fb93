export { describeHost, guestKernel, nodeName } from '../../../src/drivers/host.ts';

const FIGURES = { memory_total_mib: 8192, memory_free_mib: 4096, disk_size_mib: 8192, disk_free_mib: 4096 };

export const hostFigures = async () => FIGURES;
