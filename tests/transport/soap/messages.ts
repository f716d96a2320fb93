/** Builders of requests for the tests. */

const ENVELOPES = {
  '1.1': 'http://schemas.xmlsoap.org/soap/envelope/',
  '1.2': 'http://www.w3.org/2003/05/soap-envelope',
};

export const ENCODING_1_1 = 'http://schemas.xmlsoap.org/soap/encoding/';

/** An envelope around a Body's content; `attributes` and `header` go in as they are. */
export function envelope(
  body: string,
  {
    soap = '1.1',
    attributes = '',
    header = '',
  }: { soap?: '1.1' | '1.2'; attributes?: string; header?: string } = {},
): string {
  return (
    `<e:Envelope xmlns:e="${ENVELOPES[soap]}" xmlns:enc="${ENCODING_1_1}"` +
    ' xmlns:xsi="http://www.w3.org/2001/XMLSchema-instance" xmlns:xsd="http://www.w3.org/2001/XMLSchema"' +
    ` ${attributes}>${header}<e:Body>${body}</e:Body></e:Envelope>`
  );
}

/** A legacy call of startVPS with these parameters. */
export const legacy = (params: string) => envelope(`<startVPS>${params}</startVPS>`);

/** A modern call of startVPS with these parameters. */
export const modern = (params: string) => envelope(`<startVPS xmlns="urn:dtc-xen">${params}</startVPS>`);
