/** The namespace of our own messages and types: the modern dialect's. */
export const DTC_XEN = 'urn:dtc-xen';

/** Envelope namespaces by SOAP version. */
export const ENVELOPE = Object.freeze({
  '1.1': 'http://schemas.xmlsoap.org/soap/envelope/',
  '1.2': 'http://www.w3.org/2003/05/soap-envelope',
});

/** Encoding namespaces; the 1.1 one is the encodingStyle that marks the legacy dialect. */
export const ENCODING = Object.freeze({
  '1.1': 'http://schemas.xmlsoap.org/soap/encoding/',
  '1.2': 'http://www.w3.org/2003/05/soap-encoding',
});

/** XML Schema, today's. */
export const XSD = 'http://www.w3.org/2001/XMLSchema';

/** The schema-instance namespaces that clients still send: 2001, and the drafts that SOAPpy speaks. */
export const SCHEMA_INSTANCES: readonly string[] = Object.freeze([
  'http://www.w3.org/2001/XMLSchema-instance',
  'http://www.w3.org/2000/10/XMLSchema-instance',
  'http://www.w3.org/1999/XMLSchema-instance',
]);

/** What the prefix `xml` stands for, always (Namespaces in XML 1.0, section 3). */
export const XML_NAMESPACE = 'http://www.w3.org/XML/1998/namespace';
/** What the prefix `xmlns` stands for, always. */
export const XMLNS_NAMESPACE = 'http://www.w3.org/2000/xmlns/';
