"""Files in the form of their producers, one for each preset: an answered and an unanswered call, and records left out."""

from __future__ import annotations

import json

FREESWITCH_CSV = (
    '"Ann","491511000001","493012345","default","2024-05-01 10:00:00","2024-05-01 10:00:09","2024-05-01 10:00:30","30","21",'
    '"NORMAL_CLEARING","5a3a1d91-90d3-4db4-af5c-cc3ae15d93a4","9c1afb4f-1d4a-4e45-84a3-d25721981bf5","acme","PCMA","PCMA"\n'
    '"Bob","491511000002","493012346","default","2024-05-01 11:00:00","","2024-05-01 11:00:20","20","0",'
    '"NO_ANSWER","0e5b2c11-0000-4db4-af5c-cc3ae15d93a4","","","",""\n'
)
ASTERISK_CSV = (
    '"acme","491511000001","493012345","from-internal","""Ann"" <491511000001>","SIP/105-1","SIP/trunk-2","Dial",'
    '"SIP/trunk/493012345,30","2024-05-01 10:00:00","2024-05-01 10:00:09","2024-05-01 10:00:30",30,21,"ANSWERED",'
    '"DOCUMENTATION","1714557600.1",""\n'
    '"","491511000002","493012346","from-internal","""Bob"" <491511000002>","SIP/106-3","","Dial","",'
    '"2024-05-01 11:00:00",,"2024-05-01 11:00:20",20,0,"NO ANSWER","DOCUMENTATION","1714561200.2",""\n'
)
ASTERISK_DATABASE = (
    "calldate,clid,src,dst,dcontext,channel,dstchannel,lastapp,lastdata,duration,billsec,disposition,amaflags,accountcode,"
    "uniqueid,userfield,did,recordingfile,cnum,cnam,outbound_cnum,outbound_cnam,dst_cnam,linkedid,peeraccount,sequence\n"
    '2024-05-01 10:00:00,"""Ann"" <105>",105,493012345,from-internal,SIP/105-1,SIP/trunk-2,Dial,SIP/trunk,30,21,ANSWERED,3,acme,'
    "1714557600.1,,,,105,Ann,,,,1714557600.1,,7\n"
)
CISCO_CUCM = (
    '"cdrRecordType","globalCallID_callManagerId","globalCallID_callId","origLegCallIdentifier","dateTimeOrigination",'
    '"callingPartyNumber","finalCalledPartyNumber","dateTimeConnect","dateTimeDisconnect","pkid","duration","origDeviceName",'
    '"globalCallId_ClusterID"\n'
    "INTEGER,INTEGER,INTEGER,INTEGER,INTEGER,VARCHAR(50),VARCHAR(50),INTEGER,INTEGER,UNIQUEIDENTIFIER,INTEGER,VARCHAR(129),"
    "VARCHAR(50)\n"
    '1,2,1101,33,1714557600,"2001","90493012345",1714557609,1714557630,"1b4b3c2a-0000-4000-8000-000000000001",21,'
    '"SEP001122334455","StandAloneCluster"\n'
    '1,2,1102,35,1714561200,"2002","2003",0,1714561220,"1b4b3c2a-0000-4000-8000-000000000002",0,"SEP001122334466",'
    '"StandAloneCluster"\n'
)
CGRATES_CSV = (
    "d1,*default,*voice,call-1,*postpaid,cgrates.org,call,1001,1001,493012345,2024-05-01T10:00:00Z,2024-05-01T10:00:09Z,1m21s,1.0100\n"
    "d1,*raw,*voice,call-1,*postpaid,cgrates.org,call,1001,1001,493012345,2024-05-01T10:00:00Z,2024-05-01T10:00:09Z,1m21s,-1.0000\n"
    "d2,*default,*data,gx-2,*postpaid,cgrates.org,data,1001,1001,internet,2024-05-01T10:00:00Z,2024-05-01T10:00:09Z,1.024µs,0.5000\n"
)
FREERADIUS_RADACCT = (
    "radacctid,acctsessionid,acctuniqueid,username,realm,nasipaddress,nasportid,nasporttype,acctstarttime,acctupdatetime,"
    "acctstoptime,acctinterval,acctsessiontime,acctauthentic,connectinfo_start,connectinfo_stop,acctinputoctets,acctoutputoctets,"
    "calledstationid,callingstationid,acctterminatecause,servicetype,framedprotocol,framedipaddress\n"
    "1,8030,u1,491511000001,,10.0.0.1,1,Virtual,2024-05-01 10:00:00,2024-05-01 10:05:00,,300,300,RADIUS,,,1000,2000,,,,,PPP,10.1.0.1\n"
    "2,8031,u2,491511000002,,10.0.0.1,2,Virtual,2024-05-01 11:00:00,2024-05-01 11:00:00,,,0,RADIUS,,,,,,,,,PPP,10.1.0.2\n"
)
"""A session after its first interim update, and a session that has only begun."""
FREERADIUS_RADACCT_LATER = FREERADIUS_RADACCT.partition("1,8030")[0] + (
    "1,8030,u1,491511000001,,10.0.0.1,1,Virtual,2024-05-01 10:00:00,2024-05-01 10:05:00,2024-05-01 10:09:00,300,540,RADIUS,,,"
    "5000000000,3000,,,User-Request,,PPP,10.1.0.1\n"
)
"""The first session after its stop, with a count of octets that exceeds 32 bits."""
FREERADIUS_DETAIL = (
    "Wed May  1 10:00:00 2024\n"
    '\tUser-Name = "491511000001"\n\tAcct-Status-Type = Start\n\tAcct-Session-Id = "8030"\n\tNAS-IP-Address = 10.0.0.1\n'
    '\tAcct-Unique-Session-Id = "ea6a1089816f19c0"\n\tTimestamp = 1714557600\n\n'
    "Wed May  1 10:05:10 2024\n"
    '\tUser-Name = "491511000001"\n\tAcct-Status-Type = Interim-Update\n\tAcct-Session-Id = "8030"\n\tNAS-IP-Address = 10.0.0.1\n'
    "\tAcct-Input-Octets = 1000\n\tAcct-Output-Octets = 2000\n\tAcct-Delay-Time = 10\n"
    '\tEvent-Timestamp = "May  1 2024 10:05:00 UTC"\n\tCisco-AVPair = "a=1"\n\tCisco-AVPair += "b=\\"2\\""\n'
    '\tAcct-Unique-Session-Id = "ea6a1089816f19c0"\n\tTimestamp = 1714557910\n\n'
    "Wed May  1 10:09:00 2024\n"
    '\tUser-Name = "491511000001"\n\tAcct-Status-Type = Stop\n\tAcct-Session-Id = "8030"\n\tNAS-IP-Address = 10.0.0.1\n'
    "\tAcct-Input-Octets = 705032704\n\tAcct-Output-Octets = 3000\n\tAcct-Input-Gigawords = 1\n\tAcct-Output-Gigawords = 0\n"
    '\tAcct-Terminate-Cause = User-Request\n\tAcct-Unique-Session-Id = "ea6a1089816f19c0"\n\tTimestamp = 1714558140\n\n'
)
KAMAILIO_CDRS = (
    "id,start_time,end_time,duration,callid,src_user,dst_user\n"
    "7,2024-05-01 10:00:09,2024-05-01 10:00:30,21.250,a84b4c76e66710@10.0.0.1,491511000001,493012345\n"
)
MPESA_STATEMENT = (
    "Receipt No.,Completion Time,Initiation Time,Details,Transaction Status,Paid In,Withdrawn,Balance,Balance Confirmed,Reason Type,"
    "Other Party Info,Linked Transaction ID,A/C No.\n"
    'SE1,2024-05-01 13:00:09,2024-05-01 13:00:00,Pay Bill Online,Completed,"1,053.00",,"10,053.00",true,Pay Bill Online,'
    "254712345678 - ANN OTIENO,,ACC-7\n"
    'SE1,2024-05-01 13:00:09,2024-05-01 13:00:00,Pay Bill Charge,Completed,,15.00,"10,038.00",true,Pay Bill Charge,'
    "254712345678 - ANN OTIENO,,ACC-7\n"
    'SE2,01-05-2024 14:00:00,01-05-2024 14:00:00,Business Payment,Completed,,"-4,000.00","6,038.00",true,Business Payment,'
    "254700000001 - BOB KAMAU,,\n"
    "SE3,2024-05-01 15:00:00,2024-05-01 15:00:00,Pay Bill Online,Failed,700.00,,,,Pay Bill Online,254712345678 - ANN OTIENO,,ACC-7\n"
)
OPENSIPS_ACC = (
    "id,method,from_tag,to_tag,callid,sip_code,sip_reason,time,duration,ms_duration,setuptime,created,src_user,dst_user\n"
    "7,INVITE,f1,t1,c1@10.0.0.1,200,OK,2024-05-01 10:00:09,22,21250,9,2024-05-01 10:00:00,491511000001,493012345\n"
    "8,INVITE,f2,,c2@10.0.0.1,486,Busy Here,2024-05-01 10:05:00,0,0,0,2024-05-01 10:05:00,491511000001,493012345\n"
)


def freeswitch_call(uuid: str, direction: str = "inbound", answered: str = "1714557609500000", **more: str) -> str:
    variables = {
        "direction": direction, "uuid": uuid, "sip_from_user": "%2B491511000001", "sip_req_user": "493012345",
        "start_stamp": "2024-05-01%2010%3A00%3A00", "start_epoch": "1714557600", "start_uepoch": "1714557600006702",
        "answer_epoch": answered[:10], "answer_uepoch": answered, "duration": "30", "billsec": "21" if answered != "0" else "0",
    }  # fmt: skip
    times = {"created_time": "1714557600006702", "answered_time": answered}
    return json.dumps({
        "core-uuid": "63e2315b-d538-4dfa-9ed5-af73ba6210b6", "switchname": "fs1", "channel_data": {"direction": direction},
        "variables": variables | more, "app_log": {"applications": [{"app_name": "bridge"}]},
        "callflow": [{"dialplan": "XML", "profile_index": "1", "times": times}],
    })  # fmt: skip


def chf_request(sequence: int, *groups: tuple[int, list[dict[str, object]]], number: str | None = "msisdn-491511000001") -> str:
    """Return a charging data request of an SMF with used unit containers by rating group."""
    units = [{"ratingGroup": group, "requestedUnit": {}, "usedUnitContainer": used} for group, used in groups]
    user = {"servedPEI": "imeisv-1110000000000013"} | ({"servedGPSI": number} if number else {})
    session = {"pduSessionID": 1, "dnnId": "internet", "networkSlicingInfo": {"sNSSAI": {"sst": 1, "sd": "010203"}}}
    return json.dumps({
        "subscriberIdentifier": "imsi-208930000000003", "invocationTimeStamp": f"2024-05-01T10:0{sequence}:00Z",
        "nfConsumerIdentification": {"nFName": "smf-1", "nodeFunctionality": "SMF"}, "invocationSequenceNumber": sequence,
        "pDUSessionChargingInformation": {"chargingId": 7, "userInformation": user, "pduSessionInformation": session},
        **({"multipleUnitUsage": units} if units else {}),
    })  # fmt: skip


CHF = "\n".join([
    chf_request(0),
    chf_request(1, (1, [{"localSequenceNumber": 1, "totalVolume": 5_000_000_000, "uplinkVolume": 1, "downlinkVolume": 4_999_999_999}]),
                (2, [{"localSequenceNumber": 2, "uplinkVolume": 10, "downlinkVolume": 20, "triggerTimestamp": "2024-05-01T10:00:30Z"}])),
    chf_request(2, (1, [{"localSequenceNumber": 3, "totalVolume": 7,
                         "pDUContainerInformation": {"timeofFirstUsage": "2024-05-01T10:01:30+00:00"}}]), number=None),
])  # fmt: skip
"""A session: its beginning, a report of two rating groups, and its end."""
FILES = {
    "asterisk-csv": ASTERISK_CSV, "asterisk-database": ASTERISK_DATABASE, "cgrates-csv": CGRATES_CSV, "chf-charging-data": CHF, "cisco-cucm": CISCO_CUCM,
    "freeradius-detail": FREERADIUS_DETAIL, "freeradius-radacct": FREERADIUS_RADACCT, "freeswitch-csv": FREESWITCH_CSV, "freeswitch-json": freeswitch_call("u1", accountcode="acme"), "kamailio-cdrs": KAMAILIO_CDRS,
    "mpesa-statement": MPESA_STATEMENT, "opensips-acc": OPENSIPS_ACC,
}  # fmt: skip
"""A file for each preset."""
