export const ensureCertificate = async () => false;
export const certificateNotes = async () => [];
