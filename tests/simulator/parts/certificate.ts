export const ensureCertificate = async () => false;
