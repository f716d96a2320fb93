export const ensureCertificate = async () => false;
export const certificateNotes = async () => [];
export const renewCertificate = async () => '';
