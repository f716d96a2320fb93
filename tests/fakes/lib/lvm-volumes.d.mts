export const EXTENT: number;
export function lvmUuid(): string;
