// gSOAP's C++ client, out of the daemon's WSDL: client URL CA-FILE; SOAP_USER and SOAP_PASSWORD in the environment. Standard
// input has a call a line, separated by tabs: OPERATION VALUE ... in the WSDL's order; a JSON line for each goes out.
#include <cmath>
#include <cstdlib>
#include <functional>
#include <iomanip>
#include <iostream>
#include <limits>
#include <map>
#include <sstream>
#include <string>
#include <vector>

#include "DtcXenBinding.nsmap"
#include "soapDtcXenBindingProxy.h"

namespace {

using Values = std::vector<std::string>;
using Client = DtcXenBindingProxy;

std::string quoted(const std::string &text) {
  std::ostringstream out;
  out << '"';
  for (const unsigned char c : text) {
    if (c == '"' || c == '\\') out << '\\' << c;
    else if (c < 0x20) out << "\\u" << std::hex << std::setw(4) << std::setfill('0') << int(c);
    else out << c;
  }
  out << '"';
  return out.str();
}

// What gSOAP holds, as JSON that keeps its C++ types apart.
std::string tagged(const std::string &value) { return quoted(value); }
std::string tagged(int value) { return "{\"int\":\"" + std::to_string(value) + "\"}"; }
std::string tagged(LONG64 value) { return "{\"int\":\"" + std::to_string(value) + "\"}"; }
std::string tagged(double value) {
  std::ostringstream out;
  out << std::setprecision(std::numeric_limits<double>::max_digits10) << value;
  return "{\"float\":" + out.str() + "}";
}

using Member = std::pair<const char *, std::string>;
std::string dict(const std::vector<Member> &members) {
  std::string out;
  for (const auto &member : members) {
    if (!member.second.empty()) out += (out.empty() ? "" : ",") + quoted(member.first) + ":" + member.second;
  }
  return "{\"dict\":{" + out + "}}";
}

std::string tagged(const ns1__Domain &it) {
  return dict({{"id", tagged(it.id)}, {"domid", tagged(it.domid)}, {"maxmem", tagged(it.maxmem)},
               {"vcpus", tagged(it.vcpus)}, {"state", tagged(it.state)}, {"cpuseconds", tagged(it.cpuseconds)}});
}
std::string tagged(const ns1__StartedVPS &it) {
  return dict({{"name", tagged(it.name)}, {"id", tagged(it.id)}, {"mem", tagged(it.mem)},
               {"vcpus", tagged(it.vcpus)}, {"state", tagged(it.state)}, {"time", tagged(it.time)}});
}
std::string tagged(const ns1__Sample &it) {
  return dict({{"vpsname", tagged(it.vpsname)},
               {"timestamp", tagged(it.timestamp)},
               {"diff_cpu_time", tagged(it.diff_USCOREcpu_USCOREtime)},
               {"diff_net_inbytes", tagged(it.diff_USCOREnet_USCOREinbytes)},
               {"diff_net_outbytes", tagged(it.diff_USCOREnet_USCOREoutbytes)},
               {"diff_filesystem_sectors", tagged(it.diff_USCOREfilesystem_USCOREsectors)},
               {"diff_swap_sectors", tagged(it.diff_USCOREswap_USCOREsectors)},
               {"cpu_time", tagged(it.cpu_USCOREtime)},
               {"net_inbytes", tagged(it.net_USCOREinbytes)},
               {"net_outbytes", tagged(it.net_USCOREoutbytes)},
               {"filesystem_sectors", tagged(it.filesystem_USCOREsectors)},
               {"swap_sectors", tagged(it.swap_USCOREsectors)}});
}
template <class T> std::string tagged(const T *value) { return value ? tagged(*value) : ""; }
template <class T> std::string tagged(const std::vector<T> &list) {
  std::string out;
  for (const auto &item : list) out += (out.empty() ? "" : ",") + tagged(item);
  return "[" + out + "]";
}

// Calls an operation: fills the request from the values, reads the response's members; '' where gSOAP reports an error.
template <class Request, class Response>
std::string call(Client &client, int (Client::*operation)(Request *, Response &), Request request,
                 const std::function<std::string(const Response &)> &members) {
  Response response;
  return (client.*operation)(&request, response) == SOAP_OK ? members(response) : "";
}
template <class Request> Request forVps(const Values &values) {
  Request request;
  request.vpsname = values.at(0);
  return request;
}
template <class Response> std::string result(const Response &response) {
  return dict({{"result", tagged(response.result)}});
}

#define OPERATION(name) \
  {#name, [](Client & client, const Values &values) -> std::string { \
     using Request = _ns1__##name; \
     using Response = _ns1__##name##Response; \
     (void)values; \
     const auto send = [&](const Request &request, const std::function<std::string(const Response &)> &members) { \
       return call<Request, Response>(client, &Client::name, request, members); \
     };
#define END }},

const std::map<std::string, std::function<std::string(Client &, const Values &)>> operations = {
  OPERATION(testVPSServer)
    Request request;
    request.arg = values;
    return send(request, result<Response>);
  END
  OPERATION(getInstallableOS)
    return send({}, [](const Response &it) { return dict({{"os", tagged(it.os)}}); });
  END
  OPERATION(getInstallableAPP)
    return send({}, [](const Response &it) { return dict({{"app", tagged(it.app)}}); });
  END
  OPERATION(getFreeSpace)
    return send({}, [](const Response &it) {
      return dict({{"disk_mb", tagged(it.disk_USCOREmb)},
                   {"memory_mb", tagged(it.memory_USCOREmb)},
                   {"waiting_mb", tagged(it.waiting_USCOREmb)}});
    });
  END
  OPERATION(setupLVMDisks)
    auto request = forVps<Request>(values);
    request.hddsize = std::stoi(values.at(1));
    request.swapsize = std::stoi(values.at(2));
    std::string imagetype = values.at(3);
    request.imagetype = &imagetype;
    return send(request, result<Response>);
  END
  OPERATION(killVPS)
    auto request = forVps<Request>(values);
    std::string imagetype = values.at(1);
    request.imagetype = &imagetype;
    return send(request, result<Response>);
  END
  OPERATION(startVPS)
    return send(forVps<Request>(values), result<Response>);
  END
  OPERATION(shutdownVPS)
    return send(forVps<Request>(values), [](const Response &it) {
      return dict({{"result", tagged(it.result)}, {"state", tagged(it.state)}});
    });
  END
  OPERATION(destroyVPS)
    return send(forVps<Request>(values), result<Response>);
  END
  OPERATION(changeVPSsoapPassword)
    auto request = forVps<Request>(values);
    request.password = values.at(1);
    return send(request, result<Response>);
  END
  OPERATION(listStartedVPS)
    return send({}, [](const Response &it) { return dict({{"vps", tagged(it.vps)}}); });
  END
  OPERATION(getVPSState)
    return send(forVps<Request>(values), [](const Response &it) {
      return dict({{"state", tagged(it.state)}, {"domain", tagged(it.domain)}});
    });
  END
  OPERATION(getCPUUsage)
    return send(forVps<Request>(values), [](const Response &it) {
      return dict({{"cpu_time", tagged(it.cpu_USCOREtime)}});
    });
  END
  OPERATION(getNetworkUsage)
    return send(forVps<Request>(values), [](const Response &it) {
      return dict({{"net_inbytes", tagged(it.net_USCOREinbytes)}, {"net_outbytes", tagged(it.net_USCOREoutbytes)}});
    });
  END
  OPERATION(getIOUsage)
    return send(forVps<Request>(values), [](const Response &it) {
      return dict({{"filesystem_sectors", tagged(it.filesystem_USCOREsectors)},
                   {"swap_sectors", tagged(it.swap_USCOREsectors)}});
    });
  END
  OPERATION(getCollectedPerformanceData)
    Request request;
    int count = std::stoi(values.at(0));
    request.count = &count;
    return send(request, [](const Response &it) { return dict({{"sample", tagged(it.sample)}}); });
  END
};

std::string failure(soap *context) {
  const SOAP_ENV__Fault *fault = context->fault;
  if (context->error != SOAP_FAULT && context->error != SOAP_CLI_FAULT && context->error != SOAP_SVR_FAULT) {
    return "\"error\":" + quoted("HTTP " + std::to_string(context->error));
  }
  const std::string code = fault->faultcode;
  const auto *detail = fault->detail ? fault->detail->ns1__fault : nullptr;
  return "\"fault\":{\"code\":" + quoted(code.substr(code.find(':') + 1)) +
         ",\"message\":" + quoted(fault->faultstring) +
         ",\"detail_code\":" + (detail ? quoted(detail->code) : "null") + "}";
}

}  // namespace

int main(int argc, char **argv) {
  if (argc != 3) return 2;
  soap_ssl_init();
  Client client(argv[1], SOAP_C_UTFSTRING);
  if (soap_ssl_client_context(client.soap, SOAP_SSL_DEFAULT, nullptr, nullptr, argv[2], nullptr, nullptr)) {
    client.soap_stream_fault(std::cerr);
    return 1;
  }
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream fields(line);
    std::string operation;
    std::getline(fields, operation, '\t');
    Values values;
    for (std::string value; std::getline(fields, value, '\t');) values.push_back(value);
    client.soap->userid = std::getenv("SOAP_USER");
    client.soap->passwd = std::getenv("SOAP_PASSWORD");
    const std::string answer = operations.at(operation)(client, values);
    std::cout << "{\"operation\":" << quoted(operation) << ","
              << (answer.empty() ? failure(client.soap) : "\"result\":" + answer) << "}" << std::endl;
    client.destroy();
  }
}
