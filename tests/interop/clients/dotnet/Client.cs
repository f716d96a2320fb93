// .NET's own formatter of SOAP messages, as Mono has it: client.exe URL CA-FILE; SOAP_USER and SOAP_PASSWORD in the environment. It
// gives the call, and every parameter, an id. Standard input has a call a line, separated by tabs: OPERATION NAME=VALUE ...; a JSON
// line for each goes out: status, content type (a quoted charset loses its quotes), and the body in base64.
using System;
using System.IO;
using System.Linq;
using System.Net;
using System.Runtime.Serialization.Formatters;
using System.Runtime.Serialization.Formatters.Soap;
using System.Security.Cryptography.X509Certificates;
using System.Text;

public static class Client
{
    static byte[] Envelope(string operation, string[][] parameters)
    {
        var message = new SoapMessage
        {
            MethodName = operation,
            XmlNameSpace = "urn:dtc-xen",
            ParamNames = parameters.Select(each => each[0]).ToArray(),
            ParamValues = parameters.Select(each => (object)each[1]).ToArray(),
            ParamTypes = parameters.Select(_ => typeof(string)).ToArray(),
        };
        var body = new MemoryStream();
        new SoapFormatter().Serialize(body, message);
        return body.ToArray();
    }

    static HttpWebResponse Ask(string url, string operation, byte[] body)
    {
        var request = (HttpWebRequest)WebRequest.Create(url);
        var login = Environment.GetEnvironmentVariable("SOAP_USER") + ":" + Environment.GetEnvironmentVariable("SOAP_PASSWORD");
        request.Method = "POST";
        request.ContentType = "text/xml; charset=\"utf-8\"";
        request.Headers["SOAPAction"] = "\"urn:dtc-xen#" + operation + "\"";
        request.Headers["Authorization"] = "Basic " + Convert.ToBase64String(Encoding.UTF8.GetBytes(login));
        using (var stream = request.GetRequestStream()) stream.Write(body, 0, body.Length);
        try { return (HttpWebResponse)request.GetResponse(); }
        catch (WebException error) when (error.Response != null) { return (HttpWebResponse)error.Response; }
    }

    public static void Main(string[] args)
    {
        var own = new X509Certificate2(args[1]);
        ServicePointManager.ServerCertificateValidationCallback = (_, certificate, chain, errors) =>
            certificate.GetCertHashString() == own.GetCertHashString();
        var input = new StreamReader(Console.OpenStandardInput(), new UTF8Encoding(false));
        for (var line = input.ReadLine(); line != null; line = input.ReadLine())
        {
            var fields = line.Split('\t');
            var parameters = fields.Skip(1).Select(each => each.Split(new[] { '=' }, 2)).ToArray();
            using (var answer = Ask(args[0], fields[0], Envelope(fields[0], parameters)))
            {
                var body = new MemoryStream();
                answer.GetResponseStream().CopyTo(body);
                Console.WriteLine(
                    "{{\"operation\":\"{0}\",\"status\":{1},\"content_type\":\"{2}\",\"body_base64\":\"{3}\"}}",
                    fields[0], (int)answer.StatusCode, answer.ContentType.Replace("\"", ""), Convert.ToBase64String(body.ToArray()));
            }
        }
    }
}
